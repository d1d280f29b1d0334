/* SPDX-License-Identifier: Apache-2.0 */
/* A policy.json; each name has one rule by it, with something that it asks for. */
#include <stdlib.h>

#include "fmt/policy.h"
#include "fuzz.h"

static const char *const names[] = { "debian:12", "docker.io/a/b", "localhost/x:1",
				     "r.example.com:5000/a/b:1" };

static void look(const struct policy *p, const struct policy_rule *rule,
		 const struct reference *ref)
{
	char text[160];

	if (!rule || !rule->n || !p->file)
		abort();
	policy_rule_name(rule, text);
	for (size_t i = 0; i < rule->n; i++) {
		const struct policy_requirement *q = &rule->requirements[i];

		(void) policy_identity_fits(&q->identity, ref, ref);
		if (q->kind == POLICY_SIGSTORE && !q->unsupported && !q->key_paths_n && !q->keys_n)
			abort();
		if (!*policy_kind_name(q))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_policy struct policy p = POLICY_INIT;
	struct err e;

	if (policy_parse(&p, (struct str){ (const char *) data, size }, "x", &e) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct reference ref;

		if (reference_parse(str_of(names[i]), &ref, &e) < 0)
			abort();
		look(&p, policy_find(&p, &ref), &ref);
	}
	return 0;
}
