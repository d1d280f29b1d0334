/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/process.h"

static const struct field fields[] = {
	FIELD_NUMBER_MAX(process_fields, pid, INT32_MAX),
	FIELD_NUMBER_MAX(process_fields, ppid, INT32_MAX),
	FIELD_NUMBER_MAX(process_fields, uid, UINT32_MAX),
	FIELD_NUMBER(process_fields, cpu_ns),
	FIELD_NUMBER(process_fields, age_ns),
	FIELD(process_fields, state, FIELD_STRING),
	FIELD(process_fields, terminal, FIELD_STRING),
	FIELD(process_fields, name, FIELD_STRING),
	FIELD(process_fields, command, FIELD_STRING),
	FIELD_NUMBER(process_fields, resident_bytes),
	FIELD_NUMBER(process_fields, virtual_bytes),
};

const struct field_layout process_layout = FIELD_LAYOUT(process_fields, fields);
