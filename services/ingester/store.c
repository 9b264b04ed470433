#include "ingester/store.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    /* How long after the first entry that we could read rows may lack their announcement: an epoch, and five minutes
     * for batches that were stored late. */
    LATE_MS = 5 * 60 * 1000,
    EDGE_MS = MRD_BATCH_EPOCH_MS + LATE_MS,
    /* Of the delay of forgetting, which is said beforehand so that queries under way do not rely on what goes. */
    CLOCKS_MS = 60 * 1000, /* a stamp may be ahead by so much (mrd_hlc_merge) */
    COVERAGE_SPANS_PER_DELAY = 15,
    HELD_PER_DELAY = 3,
};

_Static_assert(MRD_REFERENCE_NONE == MRD_HEAD_ORDINAL_NONE, "rows that name nothing are skipped");

struct ing_store {
    struct ing_store_options options;
    struct mrd_head *head;
    struct mrd_references *references;
    struct ing_exemplars *exemplars;
    struct ing_families *families;
    struct ing_erasures *erasures;
    struct mrd_buf labels; /* scratch: of one series */
    struct mrd_batch_reader *reader;
    uint32_t *ordinals; /* scratch of one batch */
    size_t ordinal_capacity;
    bool started;
    bool from_start; /* the first entry had sequence 1 */
    mrd_hlc unread;  /* the last request to erase that was trimmed before it was read; 0: none */
    mrd_time_ms
        unread_ms; /* and those of which the log does not say when they were are stamped before it */
    mrd_time_ms unsure_ms; /* and have been in blocks for long, as has what was stored with them */
    mrd_time_ms resolvable_ms;   /* batches stored from here on must resolve */
    mrd_time_ms log_ms;          /* the log's time: greatest stored_ms */
    int64_t counted;             /* our share of the budget's `used` */
    struct mrd_log_identity log; /* whose sequences the coverage speaks of */
    struct ing_coverage coverage;
    struct forgetting {
        mrd_time_ms said_ms;    /* batches stamped up to it will go */
        mrd_time_ms said_at_ms; /* since then, by the clock that tidying goes by */
        mrd_time_ms gone_ms;    /* and up to it they have gone */
    } forgetting;
    uint64_t log_first;     /* sequence that the log begins with; 0: not known */
    mrd_time_ms log_age_ms; /* what is older the log forgets; 0: nothing by age */
    bool incomplete;        /* of the batch at hand, something did not come into the head */
    struct ing_store_figures figures;
};

static void add(_Atomic uint64_t *figure, uint64_t count)
{
    atomic_fetch_add_explicit(figure, count, memory_order_relaxed);
}
static void set(_Atomic uint64_t *figure, uint64_t value)
{
    atomic_store_explicit(figure, value, memory_order_relaxed);
}

enum mrd_status ing_store_create(const struct ing_store_options *options,
                                 struct ing_store **out_store, struct mrd_error *err)
{
    struct ing_store *store = calloc(1, sizeof(*store));
    mrd_assert(store != NULL);
    store->options = *options;
    if (options->forget_delay_ms == 0) {
        store->options.forget_delay_ms = ING_FORGET_DELAY_MS;
    }
    store->coverage.span_ms = store->options.forget_delay_ms / COVERAGE_SPANS_PER_DELAY;
    const struct mrd_head_options head = {.bucket_ms = options->bucket_ms,
                                          .memory_bytes_limit = options->budget->limit};
    const enum mrd_status status = mrd_head_create(&head, &store->head, err);
    if (status != MRD_OK) {
        free(store);
        return status;
    }
    store->references = mrd_references_create();
    store->exemplars = ing_exemplars_create();
    store->families = ing_families_create();
    store->erasures = ing_erasures_create();
    store->reader = mrd_batch_reader_create();
    *out_store = store;
    return MRD_OK;
}

void ing_store_destroy(struct ing_store **store)
{
    if (*store == NULL) {
        return;
    }
    struct ing_store *self = MRD_MOVE(*store);
    atomic_fetch_sub_explicit(&self->options.budget->used, self->counted, memory_order_relaxed);
    mrd_batch_reader_destroy(&self->reader);
    mrd_references_destroy(&self->references);
    ing_exemplars_destroy(&self->exemplars);
    ing_families_destroy(&self->families);
    ing_erasures_destroy(&self->erasures);
    mrd_buf_fini(&self->labels);
    mrd_head_destroy(&self->head);
    free(self->ordinals);
    free(self);
}

struct mrd_head *ing_store_head(struct ing_store *store) { return store->head; }

const struct ing_exemplars *ing_store_exemplars(const struct ing_store *store)
{
    return store->exemplars;
}
const struct ing_families *ing_store_families(const struct ing_store *store)
{
    return store->families;
}

const struct ing_store_figures *ing_store_figures(const struct ing_store *store)
{
    return &store->figures;
}

/* ---- applying ---- */

static bool over_budget(const struct ing_store *store)
{
    const struct ing_budget *budget = store->options.budget;
    return budget->limit > 0 &&
           atomic_load_explicit(&budget->used, memory_order_relaxed) > (int64_t)budget->limit;
}

static enum mrd_status budget_fail(const struct ing_store *store, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_LIMIT,
                    "the heads of this process use %" PRId64
                    " bytes, ingester.memory_bytes_max is %zu",
                    atomic_load_explicit(&store->options.budget->used, memory_order_relaxed),
                    store->options.budget->limit);
}

/* A request that was not read may have stood before this entry, and been trimmed. If the log does not say which was the last: its stamp is no later than its
 * being stored, but for clocks. */
static void begin_unsure(struct ing_store *store, const struct ing_position *position)
{
    if (position->erased_known) {
        store->unread = MRD_MAX(store->unread, position->erased);
        return;
    }
    store->unread_ms = position->stored_ms + CLOCKS_MS;
    store->unsure_ms = MRD_MIN(store->unread_ms, position->unknown_before_ms + CLOCKS_MS);
}

/* Whether a request may have the batch that is not known here. What stands behind the last one that was trimmed and is stamped before it has been in blocks
 * for long, or comes so late that nobody waits for it. Where the log does not say when that was, batches of the usual lateness are not asked about before blocks have
 * them: who writes wants to read it. */
static bool is_unsure(const struct ing_store *store, const struct mrd_batch *batch,
                      const struct ing_position *position)
{
    const mrd_time_ms stamp_ms = mrd_hlc_time_ms(batch->header.hlc);
    if (position->unknown_before_ms == 0) {
        return false;
    }
    return batch->header.hlc < store->unread || stamp_ms < store->unsure_ms ||
           (stamp_ms < store->unread_ms && stamp_ms < position->stored_ms - LATE_MS) ||
           mrd_erasures_forgotten(ing_erasures_list(store->erasures), batch->header.hlc);
}

static void note_position(struct ing_store *store, const struct ing_position *position)
{
    if (!store->started) {
        store->started = true;
        store->from_start = position->sequence == 1;
        store->resolvable_ms = store->from_start ? INT64_MIN : position->stored_ms + EDGE_MS;
        store->unread_ms = store->unsure_ms = INT64_MIN;
        if (!store->from_start) {
            begin_unsure(store, position);
        }
    } else if (position->missing_before >
               0) { /* trimmed under our eyes: announcements may be gone */
        store->resolvable_ms = position->stored_ms + EDGE_MS;
        begin_unsure(store, position);
    }
    store->log_ms = MRD_MAX(store->log_ms, position->stored_ms);
}

/* An announcement that repeats is already in the table. */
static enum mrd_status announce(struct ing_store *store, const struct mrd_batch *batch,
                                struct mrd_reference_table *table, struct mrd_error *err)
{
    for (size_t i = 0; i < batch->announcement_count; i++) {
        const struct mrd_batch_announcement *from = &batch->announcements[i];
        if (mrd_reference_table_get(table, from->reference) != MRD_HEAD_ORDINAL_NONE) {
            continue;
        }
        const struct mrd_head_series_key key = {
            .tenant = batch->tenants[from->tenant], .id = from->id, .labels = from->labels};
        uint32_t ordinal = MRD_HEAD_ORDINAL_NONE;
        const enum mrd_status status =
            mrd_head_series(store->head, &key, batch->header.hlc, &ordinal, err);
        if (status == MRD_E_LIMIT) {
            return status;
        }
        if (status != MRD_OK) {
            add(&store->figures.announcements_refused, 1);
            continue;
        }
        mrd_reference_table_set(store->references, table, from->reference, ordinal);
    }
    return MRD_OK;
}

/* Fills ordinals and returns how many rows name nothing. */
static uint64_t resolve(struct ing_store *store, const struct mrd_reference_table *table,
                        const uint32_t *references, size_t row_count)
{
    if (row_count > store->ordinal_capacity) {
        store->ordinals = reallocarray(store->ordinals, row_count, sizeof(*store->ordinals));
        mrd_assert(store->ordinals != NULL);
        store->ordinal_capacity = row_count;
    }
    uint64_t unresolved = 0;
    for (size_t i = 0; i < row_count; i++) {
        const uint32_t ordinal = mrd_reference_table_get(table, references[i]);
        store->ordinals[i] = ordinal;
        unresolved += ordinal == MRD_HEAD_ORDINAL_NONE ? 1 : 0;
    }
    return unresolved;
}

static void count_result(struct ing_store *store, const struct mrd_head_append_result *result)
{
    store->incomplete |= result->rows_dead > 0;
    add(&store->figures.samples, result->appended + result->out_of_order + result->overrides);
    add(&store->figures.out_of_order, result->out_of_order);
    add(&store->figures.duplicate_samples, result->duplicates + result->outdated);
    add(&store->figures.refused_samples, result->refused);
}

static enum mrd_status append(struct ing_store *store, const struct mrd_batch *batch,
                              const struct mrd_reference_table *table, uint64_t *unresolved,
                              struct mrd_error *err)
{
    *unresolved = resolve(store, table, batch->references, batch->row_count);
    struct mrd_head_batch rows = {
        .ordinals = store->ordinals,
        .sample_counts = batch->sample_counts,
        .row_count = batch->row_count,
        .times_ms = batch->times_ms,
        .values = batch->values,
        .sample_count = batch->sample_count,
        .hlc = batch->header.hlc,
        .origin = mrd_batch_origin(&batch->header),
        .start_times_ms = batch->start_times_ms,
    };
    const size_t erased = ing_erasures_leave_out(store->erasures, store->head, batch, &rows);
    struct mrd_head_append_result result = {0};
    MRD_TRY(mrd_head_append(store->head, &rows, &result, err));
    count_result(store, &result);
    add(&store->figures.samples_erased, erased);
    return MRD_OK;
}

/* After append, which looks at the budget. */
static uint64_t append_histograms(struct ing_store *store, const struct mrd_batch *batch,
                                  const struct mrd_reference_table *table)
{
    const struct mrd_batch_rows *from = &batch->histograms.rows;
    const uint64_t unresolved = resolve(store, table, from->references, from->row_count);
    struct mrd_head_histogram_batch rows = {
        .ordinals = store->ordinals,
        .counts = from->counts,
        .row_count = from->row_count,
        .times_ms = batch->histograms.times_ms,
        .items = batch->histograms.items,
        .item_count = from->item_count,
        .hlc = batch->header.hlc,
        .origin = mrd_batch_origin(&batch->header),
        .start_times_ms = batch->histograms.start_times_ms,
    };
    add(&store->figures.samples_erased,
        ing_erasures_leave_out_histograms(store->erasures, store->head, batch, &rows));
    struct mrd_head_append_result result = {0};
    mrd_head_append_histograms(store->head, &rows, &result);
    count_result(store, &result);
    add(&store->figures.histograms, result.appended + result.out_of_order + result.overrides);
    return unresolved;
}

/* One row of exemplars of a series that is known. */
static struct ing_limits limits_of(const struct ing_store *store, struct mrd_bytes tenant)
{
    struct ing_limits limits = store->options.limits;
    if (store->options.settings != NULL) {
        mrd_tenancy_settings_get(store->options.settings, tenant, &limits);
    }
    return limits;
}

static void add_exemplars(struct ing_store *store, const struct mrd_batch_header *header,
                          struct mrd_bytes tenant, uint32_t ordinal,
                          const struct mrd_exemplar *items, size_t count)
{
    _Atomic uint64_t *figures[ING_EXEMPLAR_RESULT_COUNT] = {
        [ING_EXEMPLAR_TAKEN] = &store->figures.exemplars,
        [ING_EXEMPLAR_DUPLICATE] = &store->figures.exemplars_duplicate,
        [ING_EXEMPLAR_OUT_OF_ORDER] = &store->figures.exemplars_out_of_order,
        [ING_EXEMPLAR_REFUSED] = &store->figures.exemplars_refused,
    };
    const size_t exemplars_max = limits_of(store, tenant).exemplars_max;
    mrd_buf_clear(&store->labels);
    const bool live = mrd_head_series_labels(store->head, ordinal, &store->labels);
    for (size_t i = 0; live && i < count; i++) {
        if (ing_erasures_have(store->erasures, header->hlc, tenant, mrd_buf_view(&store->labels),
                              items[i].time_ms)) {
            add(&store->figures.samples_erased, 1);
            continue;
        }
        add(figures[ing_exemplars_add(store->exemplars, tenant, exemplars_max,
                                      mrd_buf_view(&store->labels), &items[i])],
            1);
    }
}

static uint64_t append_exemplars(struct ing_store *store, const struct mrd_batch *batch,
                                 const struct mrd_reference_table *table)
{
    const struct mrd_batch_rows *rows = &batch->exemplars.rows;
    const uint64_t unresolved = resolve(store, table, rows->references, rows->row_count);
    size_t row = 0;
    size_t at = 0;
    for (size_t run = 0; run < rows->tenant_run_count; run++) {
        const struct mrd_bytes tenant = batch->tenants[rows->tenant_runs[run].tenant];
        for (size_t end = row + rows->tenant_runs[run].row_count; row < end; row++) {
            const size_t count = rows->counts == NULL ? 1 : rows->counts[row];
            if (store->ordinals[row] != MRD_HEAD_ORDINAL_NONE) {
                add_exemplars(store, &batch->header, tenant, store->ordinals[row],
                              batch->exemplars.items + at, count);
            }
            at += count;
        }
    }
    return unresolved;
}

static void put_metadata(struct ing_store *store, const struct mrd_batch *batch)
{
    for (size_t i = 0; i < batch->metadata_count; i++) {
        const struct ing_family family = {batch->metadata[i].metadata, batch->header.hlc,
                                          mrd_batch_origin(&batch->header)};
        const struct mrd_bytes tenant = batch->tenants[batch->metadata[i].tenant];
        if (mrd_erasures_have_tenant(ing_erasures_list(store->erasures), family.hlc, tenant)) {
            continue; /* a copy, or a late one, of a tenant that was deleted */
        }
        add(&store->figures.families_refused,
            ing_families_put(store->families, tenant, limits_of(store, tenant).families_max,
                             &family)
                ? 0
                : 1);
    }
}

/* ---- erasing ---- */

/* Of the head: a series that several selectors have is gone after the first. */
static void erase_samples(struct ing_store *store, const struct mrd_erasure *erasure)
{
    struct mrd_head_erased erased = {0};
    for (size_t i = 0; i < erasure->selector_count; i++) {
        const struct mrd_head_query query = {
            .tenant = erasure->tenant,
            .matchers = erasure->selectors[i].matchers,
            .matcher_count = erasure->selectors[i].matcher_count,
            .time_min_ms = erasure->time_min_ms,
            .time_max_ms = erasure->time_max_ms,
            .pause = {store->options.let_in.run, store->options.let_in.context},
        };
        mrd_head_erase(store->head, &query, &erased);
    }
    add(&store->figures.samples_erased, erased.samples);
}

/* What stands before them in the log. One that cannot be read is loss of another kind: it is reported like a batch. */
static enum mrd_status apply_erasures(struct ing_store *store, const struct mrd_batch *batch,
                                      struct mrd_error *err)
{
    enum mrd_status worst = MRD_OK;
    for (size_t i = 0; i < batch->erasure_count; i++) {
        const struct mrd_erasure *erasure = NULL;
        const enum mrd_status status =
            mrd_erasures_add(ing_erasures_list(store->erasures), batch->erasures[i], &erasure, err);
        worst = worst == MRD_OK ? status : worst;
        mrd_assert(status !=
                   MRD_E_LIMIT); /* which would be tried again; its arena has room for any */
        if (status == MRD_OK && erasure != NULL) {
            erase_samples(store, erasure);
            add(&store->figures.samples_erased,
                ing_exemplars_erase(store->exemplars, erasure, &store->options.let_in));
            if (mrd_erasure_is_of_tenant(erasure)) {
                ing_families_drop(store->families, erasure->tenant, erasure->hlc);
            }
            add(&store->figures.erasures, 1);
        }
    }
    add(&store->figures.batches_quarantined, worst == MRD_OK ? 0 : 1);
    return worst;
}

static void count_unresolved(struct ing_store *store, uint64_t rows,
                             const struct ing_position *position)
{
    if (rows > 0) {
        add(position->stored_ms < store->resolvable_ms ? &store->figures.rows_before_window
                                                       : &store->figures.rows_unresolved,
            rows);
    }
}

/* What was said before is no longer true, or nothing was. */
static void held_reset(struct ing_store *store)
{
    const uint64_t first = ing_coverage_first(&store->coverage);
    set(&store->figures.sequence_first, first);
    set(&store->figures.sequence_held, first);
}

static bool is_same(struct mrd_log_identity a, struct mrd_log_identity b)
{
    return a.created_ns == b.created_ns && a.base == b.base;
}

/* Release: whoever sees one of them new sees that the serial has moved. */
static void log_set(struct ing_store *store, struct mrd_log_identity log, uint64_t sequence)
{
    struct ing_store_figures *figures = &store->figures;
    store->log = log;
    ing_coverage_restart(&store->coverage, sequence);
    add(&figures->log_serial, 1);
    atomic_store_explicit(&figures->log_created_ns, log.created_ns, memory_order_release);
    atomic_store_explicit(&figures->log_base, log.base, memory_order_release);
    atomic_store_explicit(&figures->sequence_first, sequence, memory_order_release);
    atomic_store_explicit(&figures->sequence_held, sequence, memory_order_release);
    atomic_fetch_add_explicit(&figures->log_serial, 1, memory_order_release);
}

struct ing_held ing_store_held(const struct ing_store_figures *figures)
{
    const uint64_t serial = atomic_load_explicit(&figures->log_serial, memory_order_acquire);
    const struct ing_held held = {
        .log = {atomic_load_explicit(&figures->log_created_ns, memory_order_acquire),
                atomic_load_explicit(&figures->log_base, memory_order_acquire)},
        .first = atomic_load_explicit(&figures->sequence_first, memory_order_acquire),
        .held = atomic_load_explicit(&figures->sequence_held, memory_order_acquire),
    };
    const bool whole = serial % 2 == 0 &&
                       atomic_load_explicit(&figures->log_serial, memory_order_relaxed) == serial;
    return whole ? held : (struct ing_held){0};
}

void ing_store_begin(struct ing_store *store, struct mrd_log_identity log, uint64_t sequence)
{
    log_set(store, log, sequence);
}

/* What was missing before the batch, or of it, is not in the head. */
static void note_coverage(struct ing_store *store, const struct mrd_batch *batch,
                          const struct ing_position *position)
{
    if (!is_same(position->log, store->log)) {
        log_set(store, position->log, position->sequence);
    }
    const uint64_t before = ing_coverage_first(&store->coverage);
    if (position->missing_before > 0) {
        ing_coverage_lost(&store->coverage, position->sequence);
    }
    ing_coverage_add(&store->coverage, position->sequence, mrd_hlc_time_ms(batch->header.hlc));
    if (store->incomplete) {
        ing_coverage_lost(&store->coverage, position->sequence + 1);
    }
    if (ing_coverage_first(&store->coverage) != before) {
        held_reset(store);
    }
}

static void count_number(struct ing_store *store, struct mrd_reference_instance *instance,
                         uint64_t number, const struct ing_position *position)
{
    const struct mrd_number_result result =
        mrd_reference_instance_number(instance, number, position->stored_ms, store->from_start);
    add(&store->figures.batches_duplicate, result.duplicate ? 1 : 0);
    add(&store->figures.batches_late, result.late ? 1 : 0);
}

static enum mrd_status batch_read(struct ing_store *store, struct mrd_bytes message,
                                  struct mrd_batch *batch, struct mrd_error *err)
{
    enum mrd_status status = mrd_batch_read(store->reader, message, batch, err);
    if (status == MRD_OK && batch->header.partition != store->options.partition) {
        status =
            mrd_fail(err, MRD_E_CORRUPT, "a batch of partition %" PRIu32 " in the log of %" PRIu32,
                     batch->header.partition, store->options.partition);
    }
    if (status != MRD_OK) {
        add(&store->figures.batches_quarantined, 1);
    }
    return status;
}

/* Exemplars and metadata too. */
static enum mrd_status append_all(struct ing_store *store, const struct mrd_batch *batch,
                                  const struct mrd_reference_table *table,
                                  const struct ing_position *position, struct mrd_error *err)
{
    uint64_t unresolved;
    MRD_TRY(append(store, batch, table, &unresolved, err));
    /* Nothing can fail from here on, so a batch is counted once however often it was tried. */
    unresolved += append_histograms(store, batch, table);
    unresolved += append_exemplars(store, batch, table);
    put_metadata(store, batch);
    count_unresolved(store, unresolved, position);
    store->incomplete |= unresolved > 0;
    return MRD_OK;
}

enum mrd_status ing_store_apply(struct ing_store *store, struct mrd_bytes message,
                                const struct ing_position *position, struct mrd_error *err)
{
    if (over_budget(store)) {
        return budget_fail(store, err);
    }
    struct mrd_batch batch;
    MRD_TRY(batch_read(store, message, &batch, err));
    store->incomplete = false;
    note_position(store, position);
    struct mrd_reference_instance *instance =
        mrd_references_instance(store->references, batch.header.instance);
    struct mrd_reference_table *table =
        mrd_reference_instance_table(store->references, instance, batch.header.epoch);
    MRD_TRY(announce(store, &batch, table, err));
    if (is_unsure(store, &batch, position)) {
        store->incomplete |= batch.row_count > 0 || batch.histograms.rows.row_count > 0;
        add(&store->figures.batches_left_out, 1);
    } else {
        MRD_TRY(append_all(store, &batch, table, position, err));
    }
    note_coverage(store, &batch, position);
    count_number(store, instance, batch.header.number, position);
    add(&store->figures.batches, 1);
    return apply_erasures(store, &batch, err);
}

/* ---- forgetting ---- */

/* True: there are series that this round has not come to. */
static bool sweep(struct ing_store *store, mrd_time_ms kept_from_ms, size_t series_max,
                  uint64_t epoch_min)
{
    const struct mrd_head_sweep sweep = {
        .drop_before_ms = kept_from_ms,
        .covered_hlc = mrd_hlc_make(kept_from_ms, 0),
        /* A table of epoch_min or later has named its series at or after the beginning of that epoch,
         * so no table names a series that goes now. */
        .idle_before_hlc = mrd_hlc_make((mrd_time_ms)epoch_min * MRD_BATCH_EPOCH_MS, 0),
        .series_max = series_max,
    };
    struct mrd_head_sweep_result result = {0};
    mrd_head_sweep(store->head, &sweep, &result);
    mrd_head_recycle(store->head);
    add(&store->figures.samples_dropped, result.samples_dropped);
    return !result.pass_done;
}

void ing_store_trimmed(struct ing_store *store, uint64_t sequence) { store->log_first = sequence; }

void ing_store_age(struct ing_store *store, mrd_time_ms age_ms_max)
{
    store->log_age_ms = age_ms_max;
}

/* Batches stamped up to it are to go from the head; 0 or less: none. */
static mrd_time_ms to_forget(const struct ing_store *store, mrd_time_ms now_ms)
{
    const mrd_time_ms by_age_ms =
        store->log_age_ms > 0 ? now_ms - store->log_age_ms + store->options.forget_delay_ms : 0;
    if (store->log_first <= 1) {
        return by_age_ms;
    }
    return MRD_MAX(by_age_ms, ing_coverage_stamp_before(&store->coverage, store->log_first));
}

/* First it is said what will go, for those who ask from now on; a third of the delay later who was told before is not answered any more;
 * and when the delay is over none of them is under way, and it goes. What goes next is said then, however much that is. */
static void forgetting_move(struct ing_store *store, mrd_time_ms now_ms)
{
    struct forgetting *forgetting = &store->forgetting;
    const mrd_time_ms delay_ms = store->options.forget_delay_ms;
    const mrd_time_ms since_ms = now_ms - forgetting->said_at_ms;
    if (forgetting->said_ms > forgetting->gone_ms) {
        if (since_ms >= delay_ms / HELD_PER_DELAY) {
            set(&store->figures.sequence_held, ing_coverage_first(&store->coverage));
        }
        forgetting->gone_ms = since_ms >= delay_ms ? forgetting->said_ms : forgetting->gone_ms;
    }
    const mrd_time_ms next_ms = to_forget(store, now_ms);
    if (forgetting->said_ms > forgetting->gone_ms || next_ms <= forgetting->said_ms) {
        return;
    }
    const uint64_t before = ing_coverage_first(&store->coverage);
    ing_coverage_forget(&store->coverage, next_ms);
    const bool nobody_relies_on_it = ing_coverage_first(&store->coverage) == before;
    *forgetting =
        (struct forgetting){.said_ms = next_ms,
                            .said_at_ms = now_ms,
                            .gone_ms = nobody_relies_on_it ? next_ms : forgetting->gone_ms};
    set(&store->figures.sequence_first, ing_coverage_first(&store->coverage));
}

bool ing_store_tidy(struct ing_store *store, mrd_time_ms now_ms, size_t series_max,
                    void (*on_hole)(void *context, const struct mrd_number_hole *hole),
                    void *context)
{
    if (!store->started) {
        return false;
    }
    const uint64_t epoch = mrd_batch_epoch_of(store->log_ms);
    const uint64_t epoch_min =
        epoch < MRD_REFERENCES_EPOCHS_KEPT ? 0 : epoch - MRD_REFERENCES_EPOCHS_KEPT;
    const uint64_t missing =
        mrd_references_expire(store->references, epoch_min, store->log_ms, on_hole, context);
    add(&store->figures.batches_missing, missing);
    mrd_erasures_expire(ing_erasures_list(store->erasures),
                        (mrd_time_ms)epoch_min * MRD_BATCH_EPOCH_MS);
    forgetting_move(store, MRD_MAX(store->log_ms, now_ms));
    const bool more = store->forgetting.gone_ms > 0 &&
                      sweep(store, store->forgetting.gone_ms, series_max, epoch_min);
    ing_store_publish(store);
    return more;
}

void ing_store_publish(struct ing_store *store)
{
    struct mrd_head_stats stats;
    mrd_head_stats(store->head, &stats);
    for (size_t i = 0; i < MRD_HEAD_MEMORY_COUNT; i++) {
        set(&store->figures.memory[i], stats.memory_bytes[i]);
    }
    const size_t references = mrd_references_memory(store->references);
    const size_t exemplars = ing_exemplars_memory(store->exemplars);
    const size_t families = ing_families_memory(store->families);
    const size_t total = stats.memory_bytes_total + references + exemplars + families +
                         mrd_erasures_memory(ing_erasures_list(store->erasures)) +
                         mrd_batch_reader_memory(store->reader);
    set(&store->figures.memory_references, references);
    set(&store->figures.memory_exemplars, exemplars);
    set(&store->figures.memory_families, families);
    set(&store->figures.exemplars_stored, ing_exemplars_count(store->exemplars));
    set(&store->figures.families_stored, ing_families_count(store->families));
    set(&store->figures.memory_total, total);
    set(&store->figures.series, stats.series_count);
    set(&store->figures.tenants, stats.tenant_count);
    set(&store->figures.samples_stored, stats.sample_count);
    set(&store->figures.histograms_stored, stats.histogram_count);
    set(&store->figures.series_created, stats.series_created);
    struct mrd_head_contested_stats contested;
    mrd_head_contested_stats(store->head, &contested);
    set(&store->figures.contested_found, contested.found);
    set(&store->figures.contested_settled, contested.settled);
    set(&store->figures.contested_dropped, contested.dropped);
    set(&store->figures.contested_waiting, mrd_head_contested_count(store->head));
    atomic_fetch_add_explicit(&store->options.budget->used, (int64_t)total - store->counted,
                              memory_order_relaxed);
    store->counted = (int64_t)total;
}
