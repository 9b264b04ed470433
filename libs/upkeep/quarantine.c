#include "upkeep/quarantine.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

enum { KEY_SIZE = 64 };

static void json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

static void record_key(struct mrd_bytes id, char out[KEY_SIZE])
{
    const struct mrd_id128 hash = mrd_hash128(id, 0);
    (void)snprintf(out, KEY_SIZE, MRD_UPKEEP_QUARANTINE_PREFIX "%016" PRIx64 "%016" PRIx64,
                   hash.high, hash.low);
}

/* ---- reading ---- */

struct loading {
    struct mrd_arena *arena;
    struct mrd_buf keys; /* const char * */
    bool no_memory;
};

static bool take_key(void *context, const struct mrd_objstore_entry *entry)
{
    struct loading *loading = context;
    const char *key = (const char *)mrd_arena_copy(loading->arena, mrd_bytes_of(entry->key)).data;
    loading->no_memory = key == NULL;
    mrd_buf_append(&loading->keys, (const void *)&key, sizeof(key));
    return key != NULL && loading->keys.size / sizeof(key) <= (size_t)MRD_UPKEEP_QUARANTINE_MAX;
}

/* The text of a field, or "": a record that is damaged is a record still. */
static const char *text_of(const json_t *json, const char *name, struct mrd_arena *arena)
{
    const json_t *value = json_object_get(json, name);
    const char *text =
        json_is_string(value)
            ? (const char *)mrd_arena_copy(arena, mrd_bytes_of(json_string_value(value))).data
            : "";
    return text == NULL ? "" : text;
}

static enum mrd_status load_record(struct mrd_objstore *store,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_arena *arena, const char *key,
                                   struct mrd_upkeep_record *out, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    *out = (struct mrd_upkeep_record){.key = key};
    const enum mrd_status status =
        mrd_objstore_get(store, key, MRD_UPKEEP_RECORD_SIZE_MAX, control, &bytes, err);
    if (status != MRD_OK && status != MRD_E_NOT_FOUND && status != MRD_E_LIMIT &&
        status != MRD_E_CORRUPT) {
        return status;
    }
    mrd_auto(json_drop)
    json_t *json = json_loadb((const char *)bytes.data, bytes.size, JSON_REJECT_DUPLICATES, NULL);
    out->block = mrd_bytes_of(text_of(json, "block", arena));
    out->data_key = text_of(json, "data_key", arena);
    out->status = text_of(json, "status", arena);
    out->reason = text_of(json, "reason", arena);
    out->found_by = text_of(json, "found_by", arena);
    out->since_ms = json_integer_value(json_object_get(json, "since_ms"));
    char own[KEY_SIZE];
    record_key(out->block, own);
    if (strcmp(own, key) != 0) { /* not what we have put there */
        out->block = MRD_BYTES_NONE;
    }
    return MRD_OK;
}

static int compare_records(const void *a, const void *b)
{
    return mrd_bytes_compare(((const struct mrd_upkeep_record *)a)->block,
                             ((const struct mrd_upkeep_record *)b)->block);
}

enum mrd_status mrd_upkeep_quarantine_load(struct mrd_objstore *store,
                                           const struct mrd_objstore_control *control,
                                           struct mrd_arena *arena,
                                           struct mrd_upkeep_quarantine *out, struct mrd_error *err)
{
    struct loading loading = {.arena = arena};
    enum mrd_status status = mrd_objstore_list(store, MRD_UPKEEP_QUARANTINE_PREFIX, "", take_key,
                                               &loading, control, err);
    const size_t count = loading.keys.size / sizeof(const char *);
    struct mrd_upkeep_record *records =
        mrd_arena_alloc(arena, MRD_MAX(count, (size_t)1) * sizeof(*records));
    if (status == MRD_OK && (records == NULL || loading.no_memory)) {
        status = mrd_arena_fail(arena, err);
    }
    if (status == MRD_OK && count > MRD_UPKEEP_QUARANTINE_MAX) {
        status = mrd_fail(err, MRD_E_LIMIT,
                          "more than %d blocks are in quarantine: find out what is wrong with the "
                          "store, then delete records below " MRD_UPKEEP_QUARANTINE_PREFIX,
                          MRD_UPKEEP_QUARANTINE_MAX);
    }
    for (size_t i = 0; i < count && status == MRD_OK; i++) {
        const char *key = ((const char *const *)(const void *)loading.keys.data)[i];
        status = load_record(store, control, arena, key, &records[i], err);
    }
    mrd_buf_fini(&loading.keys);
    MRD_TRY(status);
    qsort(records, count, sizeof(*records), compare_records);
    *out = (struct mrd_upkeep_quarantine){records, count};
    return MRD_OK;
}

bool mrd_upkeep_quarantine_has(const struct mrd_upkeep_quarantine *quarantine, struct mrd_bytes id)
{
    const struct mrd_upkeep_record key = {.block = id};
    return quarantine != NULL && quarantine->count > 0 && id.size > 0 &&
           bsearch(&key, quarantine->records, quarantine->count, sizeof(key), compare_records) !=
               NULL;
}

/* ---- writing ---- */

/* Texts come from anywhere (an object's bytes may stand in a reason): what is not UTF-8 is replaced. */
static json_t *json_text(struct mrd_bytes text)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf clean = {0};
    if (mrd_bytes_utf8_valid(text)) {
        return json_stringn((const char *)text.data, text.size);
    }
    for (size_t i = 0; i < text.size; i++) {
        mrd_buf_append_u8(&clean, text.data[i] < 0x80 ? text.data[i] : '?');
    }
    return json_stringn((const char *)clean.data, clean.size);
}

static json_t *record_json(struct mrd_bytes block, const struct mrd_upkeep_record *record)
{
    json_t *json = json_object();
    mrd_assert(json != NULL);
    mrd_assert(json_object_set_new(json, "block", json_text(block)) == 0);
    mrd_assert(json_object_set_new(json, "data_key", json_text(mrd_bytes_of(record->data_key))) ==
               0);
    mrd_assert(json_object_set_new(json, "status", json_text(mrd_bytes_of(record->status))) == 0);
    mrd_assert(json_object_set_new(json, "reason", json_text(mrd_bytes_of(record->reason))) == 0);
    mrd_assert(json_object_set_new(json, "found_by", json_text(mrd_bytes_of(record->found_by))) ==
               0);
    mrd_assert(json_object_set_new(json, "since_ms", json_integer(record->since_ms)) == 0);
    return json;
}

static enum mrd_status append_json(const json_t *json, struct mrd_buf *out, struct mrd_error *err)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
    mrd_assert(text != NULL);
    mrd_buf_append_text(out, text);
    free(text);
    return out->failed ? mrd_fail(err, MRD_E_LIMIT, "quarantine: no room for the records") : MRD_OK;
}

enum mrd_status mrd_upkeep_quarantine_add(struct mrd_objstore *store,
                                          const struct mrd_objstore_control *control,
                                          const struct mrd_upkeep_finding *finding,
                                          struct mrd_error *err)
{
    char key[KEY_SIZE];
    char data_key[MRD_BLOCK_KEY_SIZE_MAX + 1];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    (void)snprintf(data_key, sizeof(data_key), "%.*s", MRD_FMT(finding->block->data.key));
    const struct mrd_upkeep_record record = {.data_key = data_key,
                                             .status = mrd_status_name(finding->status),
                                             .reason = finding->reason,
                                             .found_by = finding->found_by,
                                             .since_ms = finding->now_ms};
    mrd_auto(json_drop)
    json_t *json = record_json(finding->block->id, &record);
    record_key(finding->block->id, key);
    MRD_TRY(append_json(json, &bytes, err));
    const enum mrd_status status =
        mrd_objstore_put_if_absent(store, key, mrd_buf_view(&bytes), control, err);
    return status == MRD_E_CONFLICT ? MRD_OK : status; /* another has found it */
}

enum mrd_status mrd_upkeep_quarantine_release(struct mrd_objstore *store,
                                              const struct mrd_objstore_control *control,
                                              struct mrd_bytes id, struct mrd_error *err)
{
    char key[KEY_SIZE];
    struct mrd_objstore_info info;
    record_key(id, key);
    const enum mrd_status status = mrd_objstore_head(store, key, control, &info, err);
    if (status == MRD_E_NOT_FOUND) {
        return mrd_fail(err, status, "block %.*s is not in quarantine", MRD_FMT(id));
    }
    MRD_TRY(status);
    return mrd_objstore_delete(store, key, control, err);
}

enum mrd_status mrd_upkeep_quarantine_json(const struct mrd_upkeep_quarantine *quarantine,
                                           struct mrd_buf *out, struct mrd_error *err)
{
    mrd_auto(json_drop)
    json_t *all = json_array();
    mrd_assert(all != NULL);
    for (size_t i = 0; i < quarantine->count; i++) {
        const struct mrd_upkeep_record *record = &quarantine->records[i];
        mrd_assert(json_array_append_new(all, record_json(record->block, record)) == 0);
    }
    return append_json(all, out, err);
}
