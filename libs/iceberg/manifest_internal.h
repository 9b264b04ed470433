/* manifest_internal.h: the Avro schemas that manifests are written and read by. */
#ifndef MRD_ICEBERG_MANIFEST_INTERNAL_H
#define MRD_ICEBERG_MANIFEST_INTERNAL_H

#include "iceberg/avro.h"
#include "iceberg/json_internal.h"
#include "iceberg/manifest.h"

struct mrd_bytes ice_list_schema(void);
void ice_entry_schema(const struct mrd_iceberg_spec *specs, size_t spec_id, struct mrd_buf *out);

#endif
