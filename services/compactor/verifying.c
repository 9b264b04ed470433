#include "compactor/verifying.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "catalog/request.h"
#include "compactor/builder.h"
#include "upkeep/tables.h"

/* Sorted texts of others. */
struct names {
    struct mrd_bytes *items;
    size_t count;
};

struct verify {
    const struct cmp_environment *environment;
    const struct mrd_catalog_receipt *receipt;
    struct names named;    /* keys */
    struct names tables;   /* "<region>/<tenant>/<table>/" */
    struct mrd_buf paths;  /* their bytes */
    struct mrd_buf folder; /* of the tenant's tables: "<region>/<tenant>/" */
    mrd_time_ms before_ms; /* what is older and has no name should not be there */
    struct cmp_verified *out;
};

static int compare_bytes(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static void names_sort(struct names *names)
{
    if (names->count > 0) {
        qsort(names->items, names->count, sizeof(*names->items), compare_bytes);
    }
}

static bool names_have(const struct names *names, struct mrd_bytes name)
{
    return names->count > 0 &&
           bsearch(&name, names->items, names->count, sizeof(name), compare_bytes) != NULL;
}

static bool begins_with(struct mrd_bytes text, struct mrd_bytes with)
{
    return text.size >= with.size && memcmp(text.data, with.data, with.size) == 0;
}

/* Whether a block that has left may have had something of it: it left before the request came, and is the tenant's or one of many tenants. What owed the
 * request had to be deleted before the receipt; what left later without owing it has nothing. */
static bool may_have_had(const struct verify *verify, const struct mrd_catalog_gone *block)
{
    return block->since_ms < verify->receipt->since_ms &&
           (begins_with(block->data_key, MRD_BYTES(CMP_BLOCKS_PREFIX "/")) ||
            begins_with(block->data_key, mrd_buf_view(&verify->folder)));
}

/* Files of blocks that are there, and of those that have left and cannot have had anything of it. */
static void name_blocks(struct verify *verify, const struct mrd_catalog_state *state)
{
    const size_t blocks = mrd_catalog_block_count(state);
    const size_t gone = mrd_catalog_gone_count(state);
    struct names *names = &verify->named;
    names->items = calloc(3 * blocks + 2 * gone + 1, sizeof(*names->items));
    mrd_assert(names->items != NULL);
    for (size_t i = 0; i < blocks; i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        names->items[names->count++] = block->data.key;
        names->items[names->count++] = block->sidecar.key;
        names->items[names->count++] = block->series_file.file.key; /* or empty */
    }
    for (size_t i = 0; i < gone; i++) {
        const struct mrd_catalog_gone *block = mrd_catalog_gone_at(state, i);
        if (!may_have_had(verify, block)) {
            names->items[names->count++] = block->data_key;
            names->items[names->count++] = block->sidecar_key;
        }
    }
    names_sort(names);
}

static void name_tables(struct verify *verify, const struct mrd_catalog_state *state,
                        const char *region)
{
    const size_t count = mrd_catalog_table_count(state);
    size_t *ends = calloc(count + 1, sizeof(*ends));
    verify->tables = (struct names){calloc(count + 1, sizeof(*verify->tables.items)), count};
    mrd_assert(ends != NULL && verify->tables.items != NULL);
    for (size_t i = 0; i < count; i++) {
        char name[MRD_CATALOG_NAME_SIZE_MAX + 2];
        const struct mrd_catalog_table *table = mrd_catalog_table_at(state, i);
        (void)snprintf(name, sizeof(name), "%.*s/", MRD_FMT(table->name));
        mrd_upkeep_table_path(region, table->tenant, name, &verify->paths);
        ends[i] = verify->paths.size;
    }
    for (size_t i = 0; i < count; i++) { /* the buffer moves no more */
        const size_t from = i == 0 ? 0 : ends[i - 1];
        verify->tables.items[i] = (struct mrd_bytes){verify->paths.data + from, ends[i] - from};
    }
    free(ends);
    names_sort(&verify->tables);
}

/* Whether it is metadata of a table of the catalog, of whatever version: sweeps see to these. */
static bool is_of_table(const struct verify *verify, struct mrd_bytes key)
{
    static const struct mrd_bytes folder = {(const uint8_t *)"metadata/", 9};
    size_t slashes = 0;
    for (size_t i = 0; i < key.size; i++) {
        slashes += key.data[i] == '/';
        if (slashes == 3) {
            const struct mrd_bytes table = {key.data, i + 1};
            return key.size > i + 1 + folder.size &&
                   memcmp(key.data + i + 1, folder.data, folder.size) == 0 &&
                   names_have(&verify->tables, table);
        }
    }
    return false;
}

/* As JSON; keys of ours have no other characters than these. */
static void note_left(struct cmp_verified *out, const char *key)
{
    if (out->left_count++ >= CMP_VERIFY_LEFT_MAX) {
        return;
    }
    mrd_buf_append_text(&out->left, out->left.size > 0 ? ",\"" : "\"");
    for (; *key != '\0'; key++) {
        const bool plain = *key >= ' ' && *key <= '~' && *key != '"' && *key != '\\';
        mrd_buf_append_u8(&out->left, plain ? (uint8_t)*key : '?');
    }
    mrd_buf_append_u8(&out->left, '"');
}

/* Files of series have the names of the blocks of samples that they were written with. */
static bool is_of_series(const struct verify *verify, struct mrd_bytes key)
{
    static const char series[] = MRD_UPKEEP_SERIES "/";
    const size_t size = verify->folder.size;
    char samples[MRD_OBJSTORE_KEY_SIZE_MAX + sizeof(MRD_UPKEEP_SAMPLES)];
    if (key.size < size + sizeof(series) - 1 ||
        memcmp(key.data + size, series, sizeof(series) - 1) != 0) {
        return false;
    }
    const size_t rest = size + sizeof(series) - 1;
    const int made =
        snprintf(samples, sizeof(samples), "%.*s" MRD_UPKEEP_SAMPLES "/%.*s", (int)size,
                 (const char *)key.data, (int)(key.size - rest), (const char *)key.data + rest);
    return made > 0 && (size_t)made < sizeof(samples) &&
           names_have(&verify->named, mrd_bytes_of(samples));
}

static bool look_at(void *context, const struct mrd_objstore_entry *entry)
{
    struct verify *verify = context;
    struct cmp_verified *out = verify->out;
    const struct mrd_bytes key = mrd_bytes_of(entry->key);
    out->objects++;
    if (entry->info.modified_ms >= verify->before_ms || names_have(&verify->named, key) ||
        is_of_table(verify, key) || is_of_series(verify, key)) {
        return true;
    }
    note_left(out, entry->key);
    return true;
}

static enum mrd_status look_at_request(struct verify *verify, struct mrd_error *err)
{
    const struct cmp_environment *environment = verify->environment;
    struct mrd_objstore_info info;
    char key[MRD_CATALOG_REQUEST_KEY_SIZE];
    (void)snprintf(key, sizeof(key), MRD_CATALOG_REQUEST_PREFIX "%016" PRIx64 "%016" PRIx64,
                   verify->receipt->id.high, verify->receipt->id.low);
    const enum mrd_status status =
        mrd_objstore_head(environment->store, key, &environment->control, &info, err);
    if (status == MRD_OK) {
        note_left(verify->out, key);
    }
    return status == MRD_E_NOT_FOUND ? MRD_OK : status;
}

static enum mrd_status run(struct verify *verify, struct mrd_error *err)
{
    const struct cmp_environment *environment = verify->environment;
    char folder[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
    (void)snprintf(folder, sizeof(folder), "%.*s", MRD_FMT(mrd_buf_view(&verify->folder)));
    MRD_TRY(look_at_request(verify, err));
    MRD_TRY(mrd_objstore_list(environment->store, CMP_BLOCKS_PREFIX "/", "", look_at, verify,
                              &environment->control, err));
    return mrd_objstore_list(environment->store, folder, "", look_at, verify, &environment->control,
                             err);
}

static enum mrd_status verify_receipt(struct verify *verify, const struct mrd_catalog_state *state,
                                      const char *region, struct mrd_error *err)
{
    verify->before_ms =
        verify->receipt->done_ms - mrd_catalog_kept_ms(verify->environment->catalog);
    mrd_upkeep_table_path(region, verify->receipt->tenant, "", &verify->folder);
    name_blocks(verify, state);
    name_tables(verify, state, region);
    const enum mrd_status status = run(verify, err);
    if (status == MRD_OK && verify->out->left_count > 0) {
        verify->out->problem = "something is still there that is older than the receipt";
    }
    free(verify->named.items);
    free(verify->tables.items);
    mrd_buf_fini(&verify->paths);
    mrd_buf_fini(&verify->folder);
    return status;
}

enum mrd_status cmp_verify(const struct cmp_environment *environment, const char *region,
                           struct mrd_id128 id, struct cmp_verified *out, struct mrd_error *err)
{
    *out = (struct cmp_verified){.id = id, .seen_ms = mrd_clock_now_ms(environment->clock)};
    MRD_TRY(mrd_catalog_refresh(environment->catalog, &environment->control, err));
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *state = mrd_catalog_pin(environment->catalog);
    struct verify verify = {
        .environment = environment, .receipt = mrd_catalog_receipt_find(state, id), .out = out};
    if (verify.receipt != NULL) {
        return verify_receipt(&verify, state, region, err);
    }
    out->problem = mrd_catalog_erasure_find(state, id) != NULL
                       ? "the request is not done yet"
                       : "the catalog has no receipt of this id";
    return MRD_OK;
}

void cmp_verified_fini(struct cmp_verified *verified) { mrd_buf_fini(&verified->left); }

void cmp_verified_json(const struct cmp_verified *verified, struct mrd_buf *out)
{
    mrd_buf_printf(out,
                   "{\"id\":\"%016" PRIx64 "%016" PRIx64 "\",\"seen_ms\":%" PRId64
                   ",\"objects\":%" PRIu64 ",\"left_count\":%" PRIu64 ",\"left\":[",
                   verified->id.high, verified->id.low, verified->seen_ms, verified->objects,
                   verified->left_count);
    mrd_buf_append_bytes(out, mrd_buf_view(&verified->left));
    mrd_buf_append_text(out, "]");
    if (verified->problem != NULL) {
        mrd_buf_printf(out, ",\"problem\":\"%s\"", verified->problem);
    }
    mrd_buf_append_text(out, "}");
}
