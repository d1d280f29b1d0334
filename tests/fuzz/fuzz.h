/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target is one source with LLVMFuzzerTestOneInput(). clang links it with libFuzzer
 * (-Dfuzzers=true); every other build links replay.c, which runs the corpus and small damages to
 * it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
