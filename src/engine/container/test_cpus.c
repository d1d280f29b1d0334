/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/cpus.h"

#include <errno.h>

#include "base/test.h"

static uint64_t mask[CPUS_MAX / 64];
static size_t bits;

static int parse(const char *list)
{
	memset(mask, 0, sizeof(mask));
	bits = 4711;
	return cpus_parse(list, mask, &bits);
}

int main(void)
{
	CHECK(parse("") == 0 && bits == 0);
	CHECK(parse("0") == 0 && mask[0] == 1 && bits == 1);
	CHECK(parse("0-3,7") == 0 && mask[0] == 0x8f && bits == 8);
	CHECK(parse(" 1 - 2 , 5,") == 0 && mask[0] == 0x26 && bits == 6);
	CHECK(parse(",,0,") == 0 && mask[0] == 1);
	/* More than the 1024 of a cpu_set_t. */
	CHECK(parse("1023-1024,8191") == 0 && bits == 8192);
	CHECK(mask[15] == UINT64_C(1) << 63 && mask[16] == 1 && mask[127] == UINT64_C(1) << 63);
	CHECK(parse("0-8191") == 0 && mask[0] == UINT64_MAX && mask[127] == UINT64_MAX);
	CHECK(parse("8192") == -ERANGE);
	CHECK(parse("3-1") < 0);
	CHECK(parse("1-2-3") < 0 && parse("-1") < 0 && parse("1-") < 0 && parse("x") < 0);
	CHECK(parse(",") == -EINVAL && parse(" ") == -EINVAL);
	CHECK(bits == 4711); /* untouched on failure */
	return test_done();
}
