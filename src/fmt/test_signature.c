/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "fmt/signature.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BODY(reference, digest, type, optional)                                                    \
	"{\"critical\":{\"identity\":{\"docker-reference\":\"" reference                           \
	"\"},\"image\":{\"docker-manifest-digest\":\"" digest "\"},\"type\":\"" type               \
	"\"}" optional "}"
#define TYPE "cosign container image signature"

static void refused(const char *text, const char *says)
{
	struct signature_payload p = {};
	struct err e = {};

	CHECK(signature_payload_decode(str_of(text), &p, &e) < 0);
	CHECK(e.kind == ERR_INVALID);
	if (!strstr(e.msg, says))
		CHECK_STR(e.msg, says);
}

static void taken(const char *text, const char *name)
{
	struct signature_payload p = {};
	char got[REFERENCE_MAX], digest[DIGEST_TEXT_MAX];
	struct err e = {};

	CHECK(signature_payload_decode(str_of(text), &p, &e) == 0);
	reference_text(&p.ref, got);
	digest_text(&p.digest, digest);
	CHECK_STR(got, name);
	CHECK_STR(digest, "sha256:" HEX);
}

int main(void)
{
	auto_buf struct buf out = BUF_INIT(SIGNATURE_PAYLOAD_MAX);
	struct signature_payload p = {};
	char tag[SIGNATURE_TAG_MAX];
	struct err e = {};

	/* As cosign and skopeo write it. */
	taken(BODY("quay.io/a/b", "sha256:" HEX, TYPE, ",\"optional\":null"), "quay.io/a/b");
	taken(BODY("quay.io/a/b:1", "sha256:" HEX, TYPE,
		   ",\"optional\":{\"creator\":\"x\",\"timestamp\":1.5e9,\"more\":[]}"),
	      "quay.io/a/b:1");
	taken(BODY("busybox", "sha256:" HEX, TYPE, ""), "docker.io/library/busybox");

	refused("", "what is signed");
	refused("[]", "what is signed");
	refused("{\"optional\":null}", "critical");
	refused(BODY("a/b", "sha256:" HEX, "atomic container signature", ""), "its type is not");
	refused(BODY("a/b", "sha512:" HEX, TYPE, ""), "no sha256:HEX");
	refused(BODY("A B", "sha256:" HEX, TYPE, ""), "docker-reference");
	refused(BODY("a/b", "sha256:" HEX, TYPE, ",\"more\":1"), "more: unknown key");
	refused(BODY("a/b\",\"x\":\"y", "sha256:" HEX, TYPE, ""), "identity.x: unknown key");

	CHECK(reference_parse(STR("host:5000/a/b:1"), &p.ref, &e) == 0);
	CHECK(digest_parse(STR("sha256:" HEX), &p.digest) == 0);
	signature_payload_write(&out, &p, "atoll");
	CHECK_STR(buf_z(&out), BODY("host:5000/a/b:1", "sha256:" HEX, TYPE,
				    ",\"optional\":{\"creator\":\"atoll\"}"));
	taken(buf_z(&out), "host:5000/a/b:1");
	signature_tag(&p.digest, tag);
	CHECK_STR(tag, "sha256-" HEX ".sig");
	return test_done();
}
