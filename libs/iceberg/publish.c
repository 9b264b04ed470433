/* Copies of a version for readers without a catalog. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "iceberg/commit_internal.h"

enum { KEY_SIZE = MRD_OBJSTORE_KEY_SIZE_MAX + 64, HINT_SIZE_MAX = 64 };

/* How far the hint is; 0 if there is none, or it is none of ours. */
static enum mrd_status read_hint(const struct mrd_iceberg_table *table, const char *key,
                                 uint64_t *out_version, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    const enum mrd_status status =
        mrd_objstore_get(table->store, key, HINT_SIZE_MAX, table->control, &text, err);
    *out_version = 0;
    if (status == MRD_E_NOT_FOUND || status == MRD_E_LIMIT) {
        return MRD_OK;
    }
    MRD_TRY(status);
    mrd_buf_append_u8(&text, 0);
    *out_version = strtoull((const char *)text.data, NULL, 10);
    return MRD_OK;
}

enum mrd_status mrd_iceberg_publish_copy(const struct mrd_iceberg_table *table,
                                         const char *metadata_key, struct mrd_bytes json,
                                         struct mrd_error *err)
{
    char copy[KEY_SIZE];
    uint64_t version;
    MRD_TRY(ice_version_of(table, metadata_key, &version, err));
    (void)snprintf(copy, sizeof(copy), "%s/metadata/v%" PRIu64 ".metadata.json", table->path,
                   version);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf read = {0};
    if (json.size == 0) {
        MRD_TRY(mrd_objstore_get(table->store, metadata_key, MRD_ICEBERG_METADATA_SIZE_MAX,
                                 table->control, &read, err));
        json = mrd_buf_view(&read);
    }
    return mrd_objstore_put_if_absent(table->store, copy, json, table->control, err);
}

enum mrd_status mrd_iceberg_publish_hint(const struct mrd_iceberg_table *table,
                                         const char *metadata_key, struct mrd_error *err)
{
    char hint[KEY_SIZE], text[24];
    uint64_t version, published;
    MRD_TRY(ice_version_of(table, metadata_key, &version, err));
    (void)snprintf(hint, sizeof(hint), "%s/metadata/version-hint.text", table->path);
    MRD_TRY(read_hint(table, hint, &published, err));
    if (published >= version) {
        return MRD_OK;
    }
    (void)snprintf(text, sizeof(text), "%" PRIu64, version);
    return mrd_objstore_put(table->store, hint, mrd_bytes_of(text), table->control, err);
}

enum mrd_status mrd_iceberg_publish(const struct mrd_iceberg_table *table, const char *metadata_key,
                                    struct mrd_bytes json, struct mrd_error *err)
{
    MRD_TRY(mrd_iceberg_publish_copy(table, metadata_key, json, err));
    return mrd_iceberg_publish_hint(table, metadata_key, err);
}
