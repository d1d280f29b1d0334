/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shim does next to nothing for most of its life, a thousand of them at once do it a thousand
 * times: what it needed to start the workload is given back. Not a cache of anything: what is
 * needed again comes back from the page cache by itself.
 */
#pragma once

void lean_now(void);
