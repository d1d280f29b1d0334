/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/gotemplate.h"

#include <errno.h>

#include "fmt/gotemplate_tree.h"

struct variable {
	struct str name;
	const struct json *value;
};

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct run {
	const struct gotemplate *t;
	const struct json *root;
	const struct gotemplate_env *env;
	struct arena *arena;
	struct buf *out;
	struct variable vars[GOTEMPLATE_DEPTH_MAX * 2];
	size_t vars_n;
	uint32_t steps;
	enum flow flow;
	struct err *e;
};

#define fail(r, at_, ...) gotemplate_error((r)->e, (r)->t->text, (at_), __VA_ARGS__)

static int step(struct run *r, uint32_t at)
{
	if (++r->steps > GOTEMPLATE_STEPS_MAX)
		return err_set(r->e, ERR_EXHAUSTED, E2BIG, "template: too much work");
	if (!buf_ok(r->out))
		return fail(r, at, "too much output");
	return 0;
}

static const char *type_name(const struct json *v)
{
	static const char *const names[] = {
		[JSON_NULL] = "nil",	  [JSON_BOOL] = "bool",	  [JSON_NUMBER] = "number",
		[JSON_STRING] = "string", [JSON_ARRAY] = "array", [JSON_OBJECT] = "object",
	};

	return v ? names[v->type] : "nil";
}

static int eval_pipeline(struct run *r, const struct pipeline *p, const struct json *dot,
			 const struct json **ret_v);

static struct variable *find_var(struct run *r, struct str name)
{
	for (size_t i = r->vars_n; i; i--)
		if (str_eq(r->vars[i - 1].name, name))
			return &r->vars[i - 1];
	return NULL;
}

static int set_var(struct run *r, struct str name, bool assign, const struct json *value,
		   uint32_t at)
{
	struct variable *var = assign ? find_var(r, name) : NULL;

	if (assign && !var)
		return fail(r, at, "undefined variable \"$%.*s\"", (int) (name.n & 63), name.p);
	if (!var) {
		if (r->vars_n == sizeof(r->vars) / sizeof(r->vars[0]))
			return fail(r, at, "too many variables");
		var = &r->vars[r->vars_n++];
		var->name = name;
	}
	var->value = value;
	return 0;
}

static const struct json *member(const struct json *v, struct str key)
{
	for (size_t i = 0; i < v->members_n; i++)
		if (str_eq(v->members[i].key, key))
			return &v->members[i].value;
	return NULL;
}

static int eval_field(struct run *r, const struct expr *x, struct str name, const struct json **v)
{
	const struct json *found = NULL;

	if (!*v || (*v)->type == JSON_NULL)
		return fail(r, x->at, "nil has no field .%.*s", (int) (name.n & 127), name.p);
	if ((*v)->type != JSON_OBJECT)
		return fail(r, x->at, "can't evaluate field %.*s in a %s", (int) (name.n & 127),
			    name.p, type_name(*v));
	found = member(*v, name);
	if (!found && *v == r->root && r->env->hidden)
		found = member(r->env->hidden, name);
	/* A map of strings (labels, options) has what it has; anything else has fixed fields. */
	if (!found && (*v == r->root || !gotemplate_is_map(*v)))
		return fail(r, x->at, "there is no field .%.*s", (int) (name.n & 127), name.p);
	*v = found;
	return 0;
}

/* An operand without arguments. */
static int eval_expr(struct run *r, const struct expr *x, const struct json *dot,
		     const struct json **ret_v)
{
	const struct json *v = NULL;
	struct variable *var;
	int rc = step(r, x->at);

	if (rc < 0)
		return rc;
	switch (x->kind) {
	case EXPR_DOT:
		v = dot;
		break;
	case EXPR_ROOT:
		v = r->root;
		break;
	case EXPR_VAR:
		var = find_var(r, x->var);
		if (!var)
			return fail(r, x->at, "undefined variable \"$%.*s\"", (int) (x->var.n & 63),
				    x->var.p);
		v = var->value;
		break;
	case EXPR_LITERAL:
		v = x->literal;
		break;
	case EXPR_PIPE:
		rc = eval_pipeline(r, x->pipe, dot, &v);
		if (rc < 0)
			return rc;
		break;
	case EXPR_CALL:
		return fail(r, x->at, "a function can't stand here");
	}
	for (size_t i = 0; i < x->fields_n; i++) {
		rc = eval_field(r, x, x->fields[i], &v);
		if (rc < 0)
			return rc;
	}
	*ret_v = v;
	return 0;
}

/* and, or: the first that decides; later operands are not looked at. */
static int eval_and_or(struct run *r, const struct command *c, bool piped, const struct json *last,
		       const struct json *dot, const struct json **ret_v)
{
	bool stop_at = c->operands[0].fn == FN_OR;
	const struct json *v = NULL;

	if (c->n < 2 && !piped)
		return fail(r, c->at, "and, or need at least one argument");
	for (size_t i = 1; i < c->n; i++) {
		int rc = eval_expr(r, &c->operands[i], dot, &v);

		if (rc < 0)
			return rc;
		if (gotemplate_truth(v) == stop_at) {
			*ret_v = v;
			return 0;
		}
	}
	*ret_v = piped ? last : v;
	return 0;
}

/* One command of a pipeline; `last` is what the one before gave, when piped. */
static int eval_command(struct run *r, const struct command *c, bool piped, const struct json *last,
			const struct json *dot, const struct json **ret_v)
{
	const struct expr *first = &c->operands[0];
	const struct json **args;
	struct err why;
	size_t n = 0;
	int rc;

	if (first->kind != EXPR_CALL && c->n == 1 && !piped)
		return eval_expr(r, first, dot, ret_v);
	if (first->kind == EXPR_CALL && (first->fn == FN_AND || first->fn == FN_OR))
		return eval_and_or(r, c, piped, last, dot, ret_v);
	args = arena_array(r->arena, c->n + 1, sizeof(const struct json *));
	if (!args)
		return err_set(r->e, ERR_EXHAUSTED, ENOMEM, "template: out of memory");
	for (size_t i = 0; i < c->n; i++) {
		if (i == 0 && first->kind == EXPR_CALL)
			continue;
		rc = eval_expr(r, &c->operands[i], dot, &args[n++]);
		if (rc < 0)
			return rc;
	}
	if (piped)
		args[n++] = last;
	rc = step(r, c->at);
	if (rc < 0)
		return rc;
	if (first->kind == EXPR_CALL)
		rc = gotemplate_call(first->fn, args, n, r->env, r->arena, ret_v, &why);
	else if (r->env->header)
		*ret_v = args[0];
	else
		rc = gotemplate_index(args[0], args + 1, n - 1, ret_v, &why);
	if (rc < 0)
		return fail(r, first->at, "%.300s", why.msg);
	return 0;
}

static int eval_pipeline(struct run *r, const struct pipeline *p, const struct json *dot,
			 const struct json **ret_v)
{
	const struct json *v = NULL;

	for (size_t i = 0; i < p->n; i++) {
		int rc = eval_command(r, &p->commands[i], i > 0, v, dot, &v);

		if (rc < 0)
			return rc;
	}
	*ret_v = v;
	return 0;
}

static int run_list(struct run *r, const struct node *node, const struct json *dot);

static int run_if_with(struct run *r, const struct node *node, const struct json *dot)
{
	size_t scope = r->vars_n;
	const struct json *v;
	int rc = eval_pipeline(r, node->pipe, dot, &v);

	if (rc == 0 && node->pipe->vars_n)
		rc = set_var(r, node->pipe->vars[0], node->pipe->assign, v, node->pipe->at);
	if (rc == 0 && gotemplate_truth(v))
		rc = run_list(r, node->body, node->kind == NODE_WITH ? v : dot);
	else if (rc == 0)
		rc = run_list(r, node->otherwise, dot);
	r->vars_n = scope;
	return rc;
}

/* One turn of a range: key may be a number or a member's name. */
static int run_turn(struct run *r, const struct node *node, const struct json *key,
		    const struct json *value)
{
	const struct pipeline *p = node->pipe;
	size_t scope = r->vars_n;
	int rc = step(r, node->at);

	if (rc == 0 && p->vars_n == 2)
		rc = set_var(r, p->vars[0], p->assign, key, p->at);
	if (rc == 0 && p->vars_n)
		rc = set_var(r, p->vars[p->vars_n - 1], p->assign, value, p->at);
	if (rc == 0)
		rc = run_list(r, node->body, value);
	r->vars_n = scope;
	if (r->flow == FLOW_CONTINUE)
		r->flow = FLOW_ON;
	return rc;
}

static const struct json *key_of(struct run *r, const struct json *v, size_t i)
{
	struct json *key = arena_alloc(r->arena, sizeof(*key));

	if (!key)
		return NULL;
	if (v->type == JSON_OBJECT) {
		key->type = JSON_STRING;
		key->text = v->members[i].key;
		return key;
	}
	key->type = JSON_NUMBER;
	key->text.p = arena_printf(r->arena, "%zu", i);
	key->text.n = key->text.p ? strlen(key->text.p) : 0;
	return key->text.p ? key : NULL;
}

/* Members in the order of their names, as Go ranges over a map. */
static int sorted_members(struct run *r, const struct json *v, const struct json_member ***ret)
{
	const struct json_member **m = arena_array(r->arena, v->members_n + 1,
						   sizeof(const struct json_member *));

	if (!m)
		return err_set(r->e, ERR_EXHAUSTED, ENOMEM, "template: out of memory");
	for (size_t i = 0; i < v->members_n; i++) {
		size_t at = i;

		for (; at && strcmp(m[at - 1]->key.p, v->members[i].key.p) > 0; at--)
			m[at] = m[at - 1];
		m[at] = &v->members[i];
	}
	*ret = m;
	return 0;
}

static int run_range(struct run *r, const struct node *node, const struct json *dot)
{
	const struct json_member **sorted = NULL;
	const struct json *v;
	size_t n;
	int rc = eval_pipeline(r, node->pipe, dot, &v);

	if (rc < 0)
		return rc;
	if (v && v->type != JSON_ARRAY && v->type != JSON_OBJECT && v->type != JSON_NULL)
		return fail(r, node->pipe->at, "range can't iterate over a %s", type_name(v));
	n = !v || v->type == JSON_NULL ? 0 : v->type == JSON_ARRAY ? v->n : v->members_n;
	if (!n)
		return run_list(r, node->otherwise, dot);
	if (v->type == JSON_OBJECT) {
		rc = sorted_members(r, v, &sorted);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < n && rc == 0 && r->flow == FLOW_ON; i++) {
		const struct json *key =
			node->pipe->vars_n == 2
				? key_of(r, v, sorted ? (size_t) (sorted[i] - v->members) : i)
				: NULL;

		if (node->pipe->vars_n == 2 && !key)
			return err_set(r->e, ERR_EXHAUSTED, ENOMEM, "template: out of memory");
		rc = run_turn(r, node, key, sorted ? &sorted[i]->value : &v->items[i]);
	}
	if (r->flow == FLOW_BREAK)
		r->flow = FLOW_ON;
	return rc;
}

static int run_action(struct run *r, const struct node *node, const struct json *dot)
{
	const struct json *v;
	int rc = eval_pipeline(r, node->pipe, dot, &v);

	if (rc < 0)
		return rc;
	if (node->pipe->vars_n)
		return set_var(r, node->pipe->vars[0], node->pipe->assign, v, node->pipe->at);
	if (!v)
		buf_adds(r->out, "<no value>");
	else
		gotemplate_print(v, r->out);
	return 0;
}

static int run_list(struct run *r, const struct node *node, const struct json *dot)
{
	int rc = 0;

	for (; node && rc == 0 && r->flow == FLOW_ON; node = node->next) {
		rc = step(r, node->at);
		if (rc < 0)
			return rc;
		switch (node->kind) {
		case NODE_TEXT:
			buf_addstr(r->out, node->text);
			break;
		case NODE_ACTION:
			rc = run_action(r, node, dot);
			break;
		case NODE_IF:
		case NODE_WITH:
			rc = run_if_with(r, node, dot);
			break;
		case NODE_RANGE:
			rc = run_range(r, node, dot);
			break;
		case NODE_BREAK:
			r->flow = FLOW_BREAK;
			break;
		case NODE_CONTINUE:
			r->flow = FLOW_CONTINUE;
			break;
		}
	}
	return rc;
}

int gotemplate_run(const struct gotemplate *t, const struct json *data,
		   const struct gotemplate_env *env, struct arena *a, struct buf *out,
		   struct err *e)
{
	struct run r = {
		.t = t,
		.root = data,
		.env = env,
		.arena = a,
		.out = out,
		.e = e,
	};
	int rc = run_list(&r, t->first, data);

	if (rc == 0 && !buf_ok(out))
		return err_set(e, ERR_EXHAUSTED, E2BIG, "template: too much output");
	return rc;
}
