/* SPDX-License-Identifier: Apache-2.0 */
#include "image/signature.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/signature.h"
#include "image/hash.h"

#define KEY_MAX ((size_t) 64 << 10)

AUTO_DEFINE(EVP_PKEY *, EVP_PKEY_free)
#define auto_key __attribute__((cleanup(EVP_PKEY_freep)))
AUTO_DEFINE(EVP_MD_CTX *, EVP_MD_CTX_free)
#define auto_context __attribute__((cleanup(EVP_MD_CTX_freep)))

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

static int read_all(int fd, struct buf *text, const char *what, struct err *e)
{
	int r = fd_read_all(fd, text);

	return r < 0 ? err_sys(e, -r, "read %s", what) : 0;
}

/* There is nobody to ask. */
static int no_password(char *p, int size, int writes, void *user)
{
	(void) p, (void) size, (void) writes, (void) user; /* libcrypto's signature has them */
	return -1;
}

/* Ed25519 hashes by itself. */
static const EVP_MD *hash_for(const EVP_PKEY *key)
{
	return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
}

static int check_kind(const EVP_PKEY *key, struct err *e)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_EC:
	case EVP_PKEY_RSA:
	case EVP_PKEY_ED25519:
		return 0;
	default:
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "it is a key of another kind than ECDSA, RSA and Ed25519");
	}
}

static int read_public(int fd, EVP_PKEY **ret_key, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(KEY_MAX);
	auto_key EVP_PKEY *key = NULL;
	int r = read_all(fd, &text, "a public key", e);
	BIO *b;

	if (r < 0)
		return r;
	b = BIO_new_mem_buf(buf_z(&text), (int) text.n); /* at most KEY_MAX */
	if (!b)
		return no_memory(e);
	key = PEM_read_bio_PUBKEY(b, NULL, no_password, NULL);
	BIO_free_all(b);
	if (!key)
		return err_set(e, ERR_INVALID, EINVAL,
			       "it is no public key in PEM (-----BEGIN PUBLIC KEY-----)");
	r = check_kind(key, e);
	if (r == 0)
		*ret_key = TAKE(key);
	return r;
}

static int print_of(EVP_PKEY *key, struct digest *ret, struct err *e)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);

	if (n < 0)
		return no_memory(e);
	*ret = hash_of((struct str){ (const char *) der, (size_t) n });
	OPENSSL_free(der);
	return 0;
}

static bool is_good(EVP_PKEY *key, struct str payload, struct str signature)
{
	auto_context EVP_MD_CTX *c = EVP_MD_CTX_new();

	return c && EVP_DigestVerifyInit(c, NULL, hash_for(key), NULL, key) == 1 &&
	       EVP_DigestVerify(c, (const unsigned char *) signature.p, signature.n,
				(const unsigned char *) payload.p, payload.n) == 1;
}

static void begin(void)
{
	/* No file of the machine's says how to verify. Fails for a lack of memory, which tells. */
	(void) OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

int signature_verify_run(const struct signature_files *q, struct unpack_result *ret_result,
			 struct err *e)
{
	auto_buf struct buf payload = BUF_INIT(SIGNATURE_PAYLOAD_MAX);
	auto_buf struct buf signature = BUF_INIT(SIGNATURE_MAX);
	int r = read_all(q->payload_fd, &payload, "what is signed", e);

	begin();
	r = r < 0 ? r : read_all(q->signature_fd, &signature, "a signature", e);
	for (size_t i = 0; i < q->keys_n && r == 0; i++) {
		auto_key EVP_PKEY *key = NULL;

		r = read_public(q->key_fds[i], &key, e);
		if (r < 0)
			return q->keys_n > 1 ? err_ctx(e, "key %zu", i + 1) : r;
		if (ret_result->entries || !signature.n ||
		    !is_good(key, buf_str(&payload), buf_str(&signature)))
			continue;
		r = print_of(key, &ret_result->diff, e);
		ret_result->entries = i + 1;
	}
	return r;
}
