/* SPDX-License-Identifier: Apache-2.0 */
/* What an ordinary user's command needs before it runs, and what only root has. */
#pragma once

struct cli;

/* Before a verb runs: nothing for root. CLI_OK, or the status of what was told. */
[[nodiscard]] int cli_user(struct cli *c);
