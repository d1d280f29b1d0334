/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files and directories of files: each as it is, cut short at many places,
 * and with single bytes changed. The damages are the same in every run, so a crash is repeatable.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { CUTS = 64, CHANGES = 256, INPUT_MAX = 1 << 20 };

static size_t inputs, runs;

/* xorshift: any sequence will do as long as it is always the same. */
static uint32_t next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* In a block of exactly its size: the sanitizers then see a read past the end. */
static void run_copy(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	(void) LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	runs++;
}

static void run_damaged(uint8_t *data, size_t size)
{
	static const uint8_t bytes[] = { 0, 1, 0x7f, 0x80, 0xff, '0', '9', '"', '{', '/', '.' };
	uint32_t state = 2463534242u;

	run_copy(data, size);
	for (size_t i = 0; i < CUTS && i < size; i++)
		run_copy(data, size <= CUTS ? i : size * i / CUTS);
	for (size_t i = 0; size && i < CHANGES; i++) {
		size_t at = next(&state) % size;
		uint8_t was = data[at];

		data[at] = i % 2 ? bytes[next(&state) % sizeof(bytes)] : (uint8_t) next(&state);
		run_copy(data, size);
		data[at] = was;
	}
}

static bool run_file(const char *path)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *data = malloc(INPUT_MAX);
	bool ok = f && data;

	if (ok) {
		size_t size = fread(data, 1, INPUT_MAX, f);

		ok = !ferror(f);
		if (ok) {
			run_damaged(data, size);
			inputs++;
		}
	}
	if (!ok)
		perror(path);
	if (f)
		(void) fclose(f);
	free(data);
	return ok;
}

static bool run_directory(const char *path)
{
	struct dirent **names = NULL;
	int n = scandir(path, &names, NULL, alphasort);
	bool ok = n >= 0;

	if (!ok)
		perror(path);
	for (int i = 0; i < n; i++) {
		char file[4096];

		if (names[i]->d_name[0] != '.') {
			(void) snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
			ok = run_file(file) && ok;
		}
		free(names[i]);
	}
	free((void *) names);
	return ok;
}

int main(int argc, char **argv)
{
	bool ok = true;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) != 0) {
			perror(argv[i]);
			ok = false;
		} else if (S_ISDIR(st.st_mode)) {
			ok = run_directory(argv[i]) && ok;
		} else {
			ok = run_file(argv[i]) && ok;
		}
	}
	printf("%zu inputs, %zu runs\n", inputs, runs);
	return ok && inputs ? 0 : 1;
}
