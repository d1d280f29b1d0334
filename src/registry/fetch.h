/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is fetched at the same time: documents, and blobs, which come in one piece whatever becomes
 * of the connection. A blob's bytes go to a file, and from there into a pipe as fast as that is
 * read: who unpacks it is neither waited for by the network nor waits for the whole.
 */
#pragma once

#include <poll.h>

#include "registry/http.h"

#define FETCH_MOST 512 /* requests that were not answered yet */

struct fetcher {
	struct registry *of; /* borrowed */
	CURLM *multi;
	struct fetch *first, *last; /* as they were asked for */
	unsigned int n;
	bool authorized; /* the token was got after the last 401 */
};

[[nodiscard]] int fetcher_init(struct fetcher *f, struct registry *g, struct err *e);
/* Takes the descriptors: of a blob the file and the pipe, of a document the file. */
[[nodiscard]] int fetcher_add(struct fetcher *f, const struct registry_request *q, const int *fds,
			      struct err *e);
/* Does what there is to do, and waits for more to come, there or on the socket. */
[[nodiscard]] int fetcher_run(struct fetcher *f, int sock, bool *ret_asked, struct err *e);
