/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The base score of a CVSS 3.0 or 3.1 vector, in tenths. No temporal or environmental metrics,
 * which change it for a place and a day; no version 2 and 4.
 */
#pragma once

#include "base/str.h"

/* 0 to 100; -EINVAL: no such vector, or one without a base metric. */
[[nodiscard]] int cvss_score(struct str vector);
