/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that unpacking a gzip layer must do: inflate it with ISA-L, and hash both what comes in
 * (the blob's digest) and what comes out (the diff id). Writes no file. For tests/perf/unpack.py.
 */
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHUNK = 1 << 18 };

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	static unsigned char in[CHUNK], out[CHUNK];
	static struct inflate_state state;
	EVP_MD_CTX *blob = EVP_MD_CTX_new(), *diff = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned long long total = 0;
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n;

	if (fd < 0 || !blob || !diff)
		return fail(argc == 2 ? argv[1] : "usage: inflate FILE");
	if (!EVP_DigestInit_ex(blob, EVP_sha256(), NULL) ||
	    !EVP_DigestInit_ex(diff, EVP_sha256(), NULL))
		return fail("sha256");
	isal_inflate_init(&state);
	state.crc_flag = ISAL_GZIP;
	while ((n = read(fd, in, sizeof(in))) > 0) {
		if (!EVP_DigestUpdate(blob, in, (size_t) n))
			return fail("sha256");
		state.next_in = in;
		state.avail_in = (uint32_t) n;
		do {
			state.next_out = out;
			state.avail_out = sizeof(out);
			if (isal_inflate(&state) != ISAL_DECOMP_OK)
				return fail("inflate");
			total += sizeof(out) - state.avail_out;
			if (!EVP_DigestUpdate(diff, out, sizeof(out) - state.avail_out))
				return fail("sha256");
		} while (state.avail_out == 0 || state.avail_in > 0);
	}
	if (n < 0 || !EVP_DigestFinal_ex(blob, digest, NULL) ||
	    !EVP_DigestFinal_ex(diff, digest, NULL))
		return fail(argv[1]);
	printf("%llu\n", total);
	return 0;
}
