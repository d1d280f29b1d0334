/* SPDX-License-Identifier: Apache-2.0 */
/* The engines of this build. It stands beside the engines, which include engine.h, not in it. */
#include "engine/container/container.h"
#include "engine/microvm/microvm.h"
#include "engine/sandbox/sandbox.h"

const struct engine_ops *const engine_table[] = {
	&container_ops,
	&sandbox_ops,
	&microvm_ops,
	NULL,
};
