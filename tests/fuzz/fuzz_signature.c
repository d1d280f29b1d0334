/* SPDX-License-Identifier: Apache-2.0 */
/* What was signed; what is understood of it is the same once written and read again. */
#include <stdlib.h>

#include "fmt/signature.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf out = BUF_INIT(SIGNATURE_PAYLOAD_MAX);
	struct signature_payload p = {}, again = {};
	char one[REFERENCE_MAX], two[REFERENCE_MAX];
	struct err e;

	if (signature_payload_decode((struct str){ (const char *) data, size }, &p, &e) < 0)
		return 0;
	signature_payload_write(&out, &p, "x");
	if (signature_payload_decode(buf_str(&out), &again, &e) < 0)
		abort();
	reference_text(&p.ref, one);
	reference_text(&again.ref, two);
	if (!digest_eq(&p.digest, &again.digest) || !streq(one, two))
		abort();
	return 0;
}
