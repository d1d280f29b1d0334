/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/machine_record.h"

#include <string.h>

#include "base/test.h"

static struct machine_record_share shares[] = { { "root", "", false, 1, 2 },
						{ "1", "/data", true, 3, UINT64_MAX } };
static struct machine_record_card cards[] = { { "02:00:00:00:00:01", 1500 } };

static struct machine_record sample(void)
{
	return (struct machine_record){
		.build = "0.1",
		.kernel = "6.1",
		.container = "web",
		.id = "00112233445566778899aabbccddeeff",
		.cpus = 2,
		.memory = UINT64_C(512) << 20,
		.own_disk = true,
		.shares = shares,
		.shares_n = 2,
		.cards = cards,
		.cards_n = 1,
	};
}

static void test_round_trip(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf b = BUF_INIT(MACHINE_RECORD_TEXT_MAX);
	struct machine_record m = sample(), got;
	struct err e;

	machine_record_encode(&m, &b);
	CHECK(buf_ok(&b) && machine_record_decode(&a, buf_str(&b), &got, &e) == 0);
	CHECK_STR(got.container, "web");
	CHECK_STR(got.id, m.id);
	CHECK(!got.base && got.own_disk && !got.root_disk && got.shares_n == 2);
	CHECK(got.shares[1].read_only && got.shares[1].inode == UINT64_MAX &&
	      got.cards[0].mtu == 1500);
	CHECK(machine_record_fits(&m, &got, &e) == 0);
	for (size_t cut = 0; cut < b.n; cut++)
		CHECK(machine_record_decode(&a, (struct str){ b.p, cut }, &got, &e) < 0);
}

static void refused(const struct machine_record *now, enum err_kind kind, const char *says)
{
	struct machine_record was = sample();
	struct err e = {};

	CHECK(machine_record_fits(&was, now, &e) < 0);
	CHECK(e.kind == kind && strstr(e.msg, says));
}

static void test_differences(void)
{
	struct machine_record_share others[] = { { "root", "", false, 1, 2 },
						 { "1", "/data", false, 3, 4 } };
	struct machine_record m = sample();

	m.cpus = 1;
	refused(&m, ERR_INVALID, "with 2 processors, not 1");
	m = sample();
	m.memory *= 2;
	refused(&m, ERR_INVALID, "bytes of memory");
	m = sample();
	m.build = "0.2";
	refused(&m, ERR_UNSUPPORTED, "Atoll 0.1");
	m = sample();
	m.cards_n = 0;
	refused(&m, ERR_INVALID, "1 network cards, not 0");
	m = sample();
	m.shares = others;
	refused(&m, ERR_INVALID, "'/data' (read-only)");
	m = sample();
	m.shares_n = 1;
	refused(&m, ERR_INVALID, "a mount at '/data'");
	m = sample();
	m.own_disk = false;
	refused(&m, ERR_INVALID, "a disk of its own");
}

int main(void)
{
	test_round_trip();
	test_differences();
	return test_done();
}
