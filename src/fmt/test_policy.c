/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "fmt/policy.h"

#define ANY    "[{\"type\":\"insecureAcceptAnything\"}]"
#define SIGNED "{\"type\":\"sigstoreSigned\",\"keyPath\":\"/k\""

static struct reference ref_of(const char *text)
{
	struct reference ref = {};
	struct err e = {};

	CHECK(reference_parse(str_of(text), &ref, &e) == 0);
	return ref;
}

static void refused(const char *text, const char *says)
{
	auto_policy struct policy p = POLICY_INIT;
	struct err e = {};

	CHECK(policy_parse(&p, str_of(text), "/etc/p.json", &e) < 0);
	CHECK(strncmp(e.msg, "/etc/p.json: ", 13) == 0);
	if (!strstr(e.msg, says))
		CHECK_STR(e.msg, says);
}

static void parse(struct policy *p, const char *text)
{
	struct err e = {};

	CHECK(policy_parse(p, str_of(text), "/etc/p.json", &e) == 0);
	CHECK_STR(e.msg, "");
}

static void found(const struct policy *p, const char *name, const char *want)
{
	struct reference ref = ref_of(name);
	char got[160];

	policy_rule_name(policy_find(p, &ref), got);
	CHECK_STR(got, want);
}

static void scopes(void)
{
	auto_policy struct policy p = POLICY_INIT, all = POLICY_INIT;

	parse(&p, "{\"default\":" ANY ",\"transports\":{\"atomic\":{\"x\":[]},\"docker\":{"
		  "\"docker.io/library/debian:12\":" ANY ",\"docker.io/library/debian\":" ANY
		  ",\"docker.io/library\":" ANY ",\"docker.io\":" ANY ",\"h:5000\":" ANY
		  ",\"h:5000/a/b\":" ANY ",\"*.example.com\":" ANY ",\"*.com\":" ANY
		  ",\"c.example.com\":" ANY ",\"h:5000/a/b@sha256:"
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\":" ANY "}}}");
	CHECK_STR(p.file, "/etc/p.json");
	found(&p, "debian:12", "docker \"docker.io/library/debian:12\"");
	found(&p, "debian:13", "docker \"docker.io/library/debian\"");
	found(&p, "debian2:12", "docker \"docker.io/library\"");
	found(&p, "a/b:12", "docker \"docker.io\"");
	found(&p, "h:5000/a/b:1", "docker \"h:5000/a/b\"");
	found(&p, "h:5000/a/b/c:1", "docker \"h:5000/a/b\"");
	found(&p, "h:5000/a/bc:1", "docker \"h:5000\"");
	found(&p,
	      "h:5000/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	      "docker "
	      "\"h:5000/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
	      "abcdef\"");
	found(&p, "h:5001/a/b:1", "the default");
	found(&p, "a.example.com/x:1", "docker \"*.example.com\"");
	found(&p, "a.b.example.com:77/x:1", "docker \"*.example.com\"");
	found(&p, "example.com/x:1", "docker \"*.com\"");
	found(&p, "c.example.com/x:1", "docker \"c.example.com\"");
	found(&p, "c.example.com:77/x:1", "docker \"*.example.com\"");
	found(&p, "example.org/x:1", "the default");
	parse(&all, "{\"default\":" ANY ",\"transports\":{\"docker\":{\"\":" ANY "}}}");
	found(&all, "example.org/x:1", "docker \"\"");
}

static void requirements(void)
{
	auto_policy struct policy p = POLICY_INIT, q = POLICY_INIT;
	const struct policy_requirement *at;

	parse(&p,
	      "{\"default\":[{\"type\":\"reject\"}," SIGNED "},{\"type\":\"sigstoreSigned\","
	      "\"keyDatas\":[\"YWJj\",\"ZGU=\"]},{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\","
	      "\"keyPath\":\"/k\"}]}");
	at = p.otherwise.requirements;
	CHECK(p.otherwise.n == 4);
	CHECK(at[0].kind == POLICY_REJECT);
	CHECK(at[1].kind == POLICY_SIGSTORE && at[1].key_paths_n == 1 && !at[1].unsupported);
	CHECK_STR(at[1].key_paths[0], "/k");
	CHECK(at[2].keys_n == 2 && str_is(at[2].keys[0], "abc") && str_is(at[2].keys[1], "de"));
	CHECK(at[3].kind == POLICY_UNSUPPORTED);
	CHECK_STR(policy_kind_name(&at[3]), "signedBy");
	parse(&q, "{\"default\":[" SIGNED ",\"rekorPublicKeyPath\":\"/r\"},"
		  "{\"type\":\"sigstoreSigned\",\"fulcio\":{}}]}");
	at = q.otherwise.requirements;
	CHECK(strstr(at[0].unsupported, "rekor") != NULL);
	CHECK(strstr(at[1].unsupported, "fulcio") != NULL);
}

static void what_is_wrong(void)
{
	refused("", "");
	refused("[]", "");
	refused("{}", "default");
	refused("{\"default\":[]}", "default: must be an array of requirements, one at least");
	refused("{\"default\":" ANY ",\"more\":1}", "more: unknown key");
	refused("{\"default\":[{\"type\":\"x\"}]}", "default[0]: type 'x' is none of");
	refused("{\"default\":[{\"type\":\"reject\",\"keyPath\":\"/k\"}]}", "do not belong");
	refused("{\"default\":[{\"type\":\"sigstoreSigned\"}]}", "exactly one of keyPath");
	refused("{\"default\":[" SIGNED ",\"keyData\":\"YQ==\"}]}", "exactly one of keyPath");
	refused("{\"default\":[{\"type\":\"sigstoreSigned\",\"keyData\":\"?\"}]}", "no base64");
	refused("{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPaths\":[]}]}", "no key");
	refused("{\"default\":[" SIGNED ",\"other\":1}]}", "default[0].other: unknown key");
	refused("{\"default\":" ANY ",\"transports\":[]}", "transports: must be an object");
	refused("{\"default\":" ANY ",\"transports\":{\"docker\":{\"a\":[]}}}",
		"transports.docker.\"a\": must be an array");
	refused("{\"default\":" ANY ",\"transports\":{\"docker\":{\"a*\":" ANY "}}}", "*.DOMAIN");
	refused("{\"default\":" ANY ",\"default\":" ANY "}", "default");
	refused("{\"default\":[" SIGNED ",\"signedIdentity\":{\"type\":\"x\"}}]}",
		"default[0].signedIdentity: its type is none of");
	refused("{\"default\":[" SIGNED ",\"signedIdentity\":{\"type\":\"matchExact\","
		"\"prefix\":\"a\"}}]}",
		"do not belong");
	refused("{\"default\":[" SIGNED ",\"signedIdentity\":{\"type\":\"exactReference\","
		"\"dockerReference\":\"a/b\"}}]}",
		"must have a tag or a digest");
	refused("{\"default\":[" SIGNED ",\"signedIdentity\":{\"type\":\"exactRepository\","
		"\"dockerRepository\":\"a/b:1\"}}]}",
		"must have no tag");
	refused("{\"default\":[" SIGNED ",\"signedIdentity\":{\"type\":\"remapIdentity\","
		"\"prefix\":\"a/\",\"signedPrefix\":\"b\"}}]}",
		"HOST[:PORT]");
}

#define DIGEST "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool fits(const char *identity, const char *name, const char *is)
{
	auto_policy struct policy p = POLICY_INIT;
	struct reference ref = ref_of(name), other = ref_of(is);
	char text[512];

	(void) snprintf(text, sizeof(text), "{\"default\":[" SIGNED "%s%s}]}",
			*identity ? ",\"signedIdentity\":" : "", identity);
	parse(&p, text);
	return policy_identity_fits(&p.otherwise.requirements[0].identity, &ref, &other);
}

static void identities(void)
{
	static const char exact[] = "{\"type\":\"matchExact\"}";
	static const char repository[] = "{\"type\":\"matchRepository\"}";
	static const char one[] = "{\"type\":\"exactReference\",\"dockerReference\":\"q.io/a:1\"}";
	static const char any[] = "{\"type\":\"exactRepository\",\"dockerRepository\":\"q.io/a\"}";
	static const char moved[] = "{\"type\":\"remapIdentity\",\"prefix\":\"m.io/x\","
				    "\"signedPrefix\":\"q.io/a\"}";

	CHECK(fits("", "q.io/a:1", "q.io/a:1"));
	CHECK(!fits("", "q.io/a:1", "q.io/a:2"));
	CHECK(!fits("", "q.io/a:1", "q.io/a"));
	CHECK(fits("", "q.io/a" DIGEST, "q.io/a:2"));
	CHECK(!fits("", "q.io/a" DIGEST, "q.io/b:2"));
	CHECK(fits(exact, "q.io/a:1", "q.io/a:1"));
	CHECK(!fits(exact, "q.io/a" DIGEST, "q.io/a:1"));
	CHECK(fits(exact, "q.io/a" DIGEST, "q.io/a" DIGEST));
	CHECK(fits(repository, "q.io/a:1", "q.io/a"));
	CHECK(!fits(repository, "q.io/a:1", "q.io/a/b"));
	CHECK(fits(one, "m.io/x:7", "q.io/a:1"));
	CHECK(!fits(one, "m.io/x:1", "m.io/x:1"));
	CHECK(fits(any, "m.io/x:7", "q.io/a:9"));
	CHECK(!fits(any, "q.io/b:1", "q.io/b:1"));
	CHECK(fits(moved, "m.io/x:1", "q.io/a:1"));
	CHECK(fits(moved, "m.io/x/y:1", "q.io/a/y:1"));
	CHECK(!fits(moved, "m.io/x:1", "m.io/x:1"));
	CHECK(fits(moved, "m.io/xy:1", "m.io/xy:1"));
	CHECK(fits(moved, "m.io/x" DIGEST, "q.io/a:3"));
}

int main(void)
{
	scopes();
	requirements();
	what_is_wrong();
	identities();
	return test_done();
}
