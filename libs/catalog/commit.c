/* A change as the actions of a commit. */
#include <stdlib.h>

#include "catalog/catalog_internal.h"

/* ---- what makes no sense in any state ---- */

static enum mrd_status table_check(const struct mrd_catalog_table_change *table,
                                   struct mrd_error *err)
{
    const bool fits = table->tenant.size <= MRD_CATALOG_NAME_SIZE_MAX &&
                      table->name.size <= MRD_CATALOG_NAME_SIZE_MAX &&
                      table->from_key.size <= MRD_CATALOG_NAME_SIZE_MAX &&
                      table->to_key.size <= MRD_CATALOG_NAME_SIZE_MAX;
    if (table->tenant.size == 0 || table->name.size == 0 || !fits) {
        return mrd_fail(err, MRD_E_INVALID, "tenant, table and key have 1 to %d bytes each",
                        MRD_CATALOG_NAME_SIZE_MAX);
    }
    return mrd_bytes_equal(table->from_key, table->to_key)
               ? mrd_fail(err, MRD_E_INVALID, "table %.*s is to stay what it is",
                          MRD_FMT(table->name))
               : MRD_OK;
}

static enum mrd_status erasure_check(const struct mrd_catalog_erasure_change *erasure,
                                     struct mrd_error *err)
{
    if (erasure->partition_count == 0 || erasure->partition_count > MRD_CATALOG_PARTITIONS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "an erasure in %u partitions; there may be 1 to %d",
                        erasure->partition_count, MRD_CATALOG_PARTITIONS_MAX);
    }
    for (uint32_t p = 0; p < erasure->partition_count; p++) {
        if (erasure->sequences[p] == 0) {
            return mrd_fail(err, MRD_E_INVALID, "the log of partition %u does not have the erasure",
                            p);
        }
    }
    const bool texts_fit = erasure->tenant.size > 0 &&
                           erasure->tenant.size <= MRD_CATALOG_NAME_SIZE_MAX &&
                           mrd_objstore_key_valid(erasure->request_key) &&
                           erasure->request_digest.size == MRD_CATALOG_DIGEST_SIZE;
    return texts_fit && erasure->time_min_ms <= erasure->time_max_ms
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "an erasure without a tenant, request or time");
}

static enum mrd_status change_check(const struct mrd_catalog_change *change, struct mrd_error *err)
{
    if (change->add_count + change->remove_count + change->built_count + change->table_count +
                change->settled_count + change->erasure_count + change->done_count +
                change->log_count ==
            0 &&
        change->grace_ms == 0) {
        return mrd_fail(err, MRD_E_INVALID, "the change is empty");
    }
    for (size_t i = 0; i < change->built_count; i++) {
        const struct mrd_catalog_built_change *built = &change->built[i];
        if (built->to <= built->from) {
            return mrd_fail(err, MRD_E_INVALID, "partition %u is to be built from %llu to %llu",
                            built->partition, (unsigned long long)built->from,
                            (unsigned long long)built->to);
        }
    }
    if (change->grace_ms != 0 && (change->grace_ms < MRD_CATALOG_GRACE_MS_MIN ||
                                  change->grace_ms > MRD_CATALOG_GRACE_MS_MAX)) {
        return mrd_fail(err, MRD_E_INVALID, "a grace of %lld ms is below a minute, or above years",
                        (long long)change->grace_ms);
    }
    for (size_t i = 0; i < change->log_count; i++) {
        const struct mrd_catalog_log_change *log = &change->logs[i];
        if (!mrd_log_identity_known(log->to) || mrd_log_identity_equal(log->from, log->to)) {
            return mrd_fail(err, MRD_E_INVALID, "the log of partition %u is to become no other",
                            log->partition);
        }
    }
    for (size_t i = 0; i < change->remove_count; i++) {
        if (change->remove[i].size == 0 || change->remove[i].size > MRD_BLOCK_ID_SIZE_MAX) {
            return mrd_fail(err, MRD_E_INVALID, "ids of blocks have 1 to %d bytes",
                            MRD_BLOCK_ID_SIZE_MAX);
        }
    }
    for (size_t i = 0; i < change->table_count; i++) {
        MRD_TRY(table_check(&change->tables[i], err));
    }
    for (size_t i = 0; i < change->erasure_count; i++) {
        MRD_TRY(erasure_check(&change->erasures[i], err));
    }
    return MRD_OK;
}

/* ---- actions ---- */

/* A change with its entries encoded, one after the other; entry i ends at ends[i]. */
struct prepared {
    const struct mrd_catalog_change *change;
    struct mrd_buf entries;
    size_t *ends;
    struct mrd_buf actions;
};

static struct mrd_bytes prepared_entry(const struct prepared *prepared, size_t index)
{
    const size_t start = index == 0 ? 0 : prepared->ends[index - 1];
    return (struct mrd_bytes){prepared->entries.data + start, prepared->ends[index] - start};
}

static void prepared_fini(struct prepared *prepared)
{
    mrd_buf_fini(&prepared->entries);
    mrd_buf_fini(&prepared->actions);
    free(prepared->ends);
}

static void add_built(const struct mrd_catalog_built_change *built, struct mrd_buf *out)
{
    const struct mrd_catalog_log_change log = {.partition = built->partition,
                                               .built = built->to,
                                               .from = built->log,
                                               .to = built->log,
                                               .stored_ms = built->stored_ms};
    cat_record_add(out, &(struct cat_action){.kind = CAT_BUILT, .built = *built});
    if (mrd_log_identity_known(built->log)) {
        cat_record_add(out, &(struct cat_action){.kind = CAT_LOG, .log = log});
    }
}

static enum mrd_status prepare(struct prepared *prepared, struct mrd_error *err)
{
    const struct mrd_catalog_change *change = prepared->change;
    struct mrd_buf *out = &prepared->actions;
    prepared->ends = calloc(change->add_count + 1, sizeof(*prepared->ends));
    mrd_assert(prepared->ends != NULL);
    for (size_t i = 0; i < change->add_count; i++) {
        MRD_TRY(mrd_block_entry_encode(&change->add[i], &prepared->entries, err));
        prepared->ends[i] = prepared->entries.size;
    }
    for (size_t i = 0; i < change->settled_count; i++) {
        cat_record_add(out,
                       &(struct cat_action){.kind = CAT_SETTLED, .settled = change->settled[i]});
    }
    for (size_t i = 0; i < change->remove_count; i++) {
        cat_record_add(out, &(struct cat_action){.kind = CAT_REMOVE, .id = change->remove[i]});
    }
    for (size_t i = 0; i < change->erasure_count; i++) {
        const struct cat_erasure_action erasure = {.change = change->erasures[i]};
        cat_record_add(out, &(struct cat_action){.kind = CAT_ERASURE, .erasure = erasure});
    }
    for (size_t i = 0; i < change->add_count; i++) {
        cat_record_add(out,
                       &(struct cat_action){.kind = CAT_ADD, .entry = prepared_entry(prepared, i)});
    }
    for (size_t i = 0; i < change->built_count; i++) {
        add_built(&change->built[i], out);
    }
    for (size_t i = 0; i < change->log_count; i++) {
        cat_record_add(out, &(struct cat_action){.kind = CAT_LOG, .log = change->logs[i]});
    }
    for (size_t i = 0; i < change->table_count; i++) {
        cat_record_add(out, &(struct cat_action){.kind = CAT_TABLE, .table = change->tables[i]});
    }
    for (size_t i = 0; i < change->done_count; i++) {
        cat_record_add(out, &(struct cat_action){.kind = CAT_DONE, .done = change->done[i]});
    }
    if (change->grace_ms != 0) {
        const struct mrd_catalog_grace grace = {.ms = change->grace_ms};
        cat_record_add(out, &(struct cat_action){.kind = CAT_GRACE, .grace = grace});
    }
    return MRD_OK;
}

/* ---- whether a state has it ---- */

static bool erasures_done(const struct mrd_catalog_change *change,
                          const struct mrd_catalog_state *state)
{
    for (size_t i = 0; i < change->settled_count; i++) {
        const struct mrd_catalog_erasure *erasure =
            mrd_catalog_erasure_find(state, change->settled[i].erasure);
        if (erasure != NULL && mrd_catalog_erasure_owes(erasure, change->settled[i].block)) {
            return false;
        }
    }
    for (size_t i = 0; i < change->erasure_count; i++) {
        const struct mrd_id128 id = change->erasures[i].id;
        if (mrd_catalog_erasure_find(state, id) == NULL &&
            mrd_catalog_receipt_find(state, id) == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < change->done_count; i++) {
        if (mrd_catalog_receipt_find(state, change->done[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static bool change_done(const void *context, const struct mrd_catalog_state *state)
{
    const struct prepared *prepared = context;
    const struct mrd_catalog_change *change = prepared->change;
    for (size_t i = 0; i < change->add_count; i++) {
        if (!mrd_bytes_equal(cat_state_encoded(state, change->add[i].id),
                             prepared_entry(prepared, i))) {
            return false;
        }
    }
    for (size_t i = 0; i < change->remove_count; i++) {
        if (mrd_catalog_find(state, change->remove[i]) != NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < change->built_count; i++) {
        if (mrd_catalog_built(state, change->built[i].partition) != change->built[i].to) {
            return false;
        }
    }
    for (size_t i = 0; i < change->log_count; i++) {
        const struct mrd_catalog_built *built =
            mrd_catalog_built_find(state, change->logs[i].partition);
        if (built == NULL || !mrd_log_identity_equal(built->log, change->logs[i].to)) {
            return false;
        }
    }
    for (size_t i = 0; i < change->table_count; i++) {
        const struct mrd_catalog_table_change *table = &change->tables[i];
        if (!mrd_bytes_equal(mrd_catalog_table(state, table->tenant, table->name), table->to_key)) {
            return false;
        }
    }
    if (change->grace_ms != 0 && mrd_catalog_grace(state).ms != change->grace_ms) {
        return false;
    }
    return erasures_done(change, state);
}

static enum mrd_status age_check(struct mrd_catalog *catalog,
                                 const struct mrd_catalog_change *change, struct mrd_error *err)
{
    const mrd_time_ms age = mrd_clock_now_ms(catalog->options.clock) - change->begun_ms;
    return change->begun_ms != 0 && age > mrd_catalog_grace_ms(catalog) / 2
               ? mrd_fail(err, MRD_E_CONFLICT,
                          "the files were begun %lld s ago, and may be swept as abandoned before "
                          "they are committed: write them again",
                          (long long)(age / 1000))
               : MRD_OK;
}

enum mrd_status mrd_catalog_commit(struct mrd_catalog *catalog,
                                   const struct mrd_catalog_change *change,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    mrd_auto(prepared_fini)
    struct prepared prepared = {.change = change};
    MRD_TRY(change_check(change, err));
    MRD_TRY(age_check(catalog, change, err));
    MRD_TRY(prepare(&prepared, err));
    const struct cat_wish wish = {
        .actions = &prepared.actions, .done = change_done, .context = &prepared};
    pthread_mutex_lock(&catalog->work);
    const enum mrd_status status = cat_commit(catalog, &wish, control, err);
    pthread_mutex_unlock(&catalog->work);
    return status;
}
