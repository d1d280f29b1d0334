/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's database loads no extensions, but libsqlite3.a refers to dlopen() for them, and a
 * static program with glibc's carries a dynamic linker that can only fail at run time (ld warns of
 * it). These stand in its place in the static programs: nothing can be loaded.
 */
#include <dlfcn.h>
#include <stddef.h>

void *dlopen(const char *file, int mode)
{
	(void) file;
	(void) mode;
	return NULL;
}

void *dlsym(void *restrict handle, const char *restrict name)
{
	(void) handle;
	(void) name;
	return NULL;
}

int dlclose(void *handle)
{
	(void) handle;
	return -1;
}

char *dlerror(void)
{
	static char why[] = "this program loads no extensions";

	return why;
}
