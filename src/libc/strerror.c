/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glibc's words for errors where musl's are others: runtimes' callers and their users know them,
 * and they are the same whatever the program was linked with.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#undef strerror

/* clang-format off */
static const char *const words[] = {
	[EIO] = "Input/output error",
	[ECHILD] = "No child processes",
	[ENOMEM] = "Cannot allocate memory",
	[EBUSY] = "Device or resource busy",
	[EXDEV] = "Invalid cross-device link",
	[EMFILE] = "Too many open files",
	[ENOTTY] = "Inappropriate ioctl for device",
	[ESPIPE] = "Illegal seek",
	[ERANGE] = "Numerical result out of range",
	[EDEADLK] = "Resource deadlock avoided",
	[ENAMETOOLONG] = "File name too long",
	[ELOOP] = "Too many levels of symbolic links",
	[EOVERFLOW] = "Value too large for defined data type",
	[ENOTSOCK] = "Socket operation on non-socket",
	[EMSGSIZE] = "Message too long",
	[EOPNOTSUPP] = "Operation not supported",
	[EADDRINUSE] = "Address already in use",
	[EADDRNOTAVAIL] = "Cannot assign requested address",
	[ENETUNREACH] = "Network is unreachable",
	[ECONNABORTED] = "Software caused connection abort",
	[EISCONN] = "Transport endpoint is already connected",
	[ENOTCONN] = "Transport endpoint is not connected",
	[ETIMEDOUT] = "Connection timed out",
	[EHOSTUNREACH] = "No route to host",
	[EINPROGRESS] = "Operation now in progress",
	[EUCLEAN] = "Structure needs cleaning",
	[EDQUOT] = "Disk quota exceeded",
};
/* clang-format on */

char *libc_strerror(int error)
{
	if (error > 0 && (size_t) error < sizeof(words) / sizeof(words[0]) && words[error])
		return (char *) (uintptr_t) words[error];
	return strerror(error);
}
