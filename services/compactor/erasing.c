#include "compactor/erasing.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "bus/log_admin.h"
#include "catalog/request.h"
#include "compactor/tenant_end.h"
#include "compactor/verifying.h"

enum {
    INTERVAL_MS = 5000,
    LOG_CALL_MS = 5000,
    TELL_MS = 10 * 60 * 1000,
    SWEEP_PAUSE_MS_MIN = 5000,
    SWEEP_PAUSE_MS_MAX = 10 * 60 * 1000,
    SWEEP_PAUSES = 16, /* in a grace */
};

enum state { OWING, BUILDING, TABLES, WAITING, SWEEPING, LOG, LOG_FILES, READY, STATES };
static const char *const names[STATES] = {"owing",    "building", "tables",    "waiting",
                                          "sweeping", "log",      "log_files", "ready"};

/* What is to be deleted; it stands in the request. */
enum subject { UNKNOWN, SERIES, TENANT };

/* How far a partition's log has dropped what stands behind a request. */
struct tail {
    bool passed;      /* what stands before is dropped */
    uint64_t bytes;   /* of the log, at the last look */
    uint64_t dropped; /* since it passed: at least so many bytes */
};

/* What is known of an erasure beside the catalog. */
struct item {
    struct mrd_id128 id;
    enum subject subject;
    enum state state;
    enum state told;
    int64_t told_ns;
    size_t bad;           /* blocks in quarantine that owe it */
    char *prefix;         /* of the keys of the tenant's files */
    mrd_time_ms swept_ms; /* when the last sweep began; 0: there was none since the item is known */
    mrd_time_ms
        left_ms;        /* when the oldest was written of the files that it left and nobody names */
    uint32_t partition; /* that holds it up */
    struct tail *tails; /* of the partitions */
    uint32_t partition_count;
    bool seen; /* in this round */
};

struct cmp_erasing {
    struct cmp_erasing_options options;
    char *region;
    struct mrd_gauge *states[STATES];
    struct mrd_counter *done;
    struct item *items; /* the round's, like what follows */
    size_t item_count;
    uint64_t checkpoint; /* of the commit that we have seen to be in one, or an earlier */
    uint64_t oldest;     /* commit in the store */
    int64_t sweep_ns;    /* when to sweep next */
    struct cmp_verified verified[CMP_ERASING_VERIFY_MAX]; /* the last ones, in a ring */
    size_t verified_count;

    pthread_mutex_t lock; /* guards what follows */
    struct mrd_buf json;
    struct mrd_id128 wanted[CMP_ERASING_VERIFY_MAX]; /* to be verified */
    size_t wanted_count;
};

struct cmp_erasing *cmp_erasing_create(const struct cmp_erasing_options *options)
{
    struct mrd_metrics *metrics = options->metrics;
    struct cmp_erasing *erasing = calloc(1, sizeof(*erasing));
    mrd_assert(erasing != NULL);
    erasing->options = *options;
    erasing->options.region = erasing->region = strdup(options->region);
    mrd_assert(erasing->region != NULL);
    for (size_t i = 0; i < STATES; i++) {
        erasing->states[i] =
            mrd_metrics_gauge(metrics, "meridian_compactor_erasures",
                              "Requests to erase that are not done, by what they wait for.",
                              MRD_LABELS({"state", names[i]}));
    }
    erasing->done =
        mrd_metrics_counter(metrics, "meridian_compactor_erasures_done_total",
                            "Requests to erase that this process has ended with a receipt.", NULL);
    pthread_mutex_init(&erasing->lock, NULL);
    return erasing;
}

static void item_fini(struct item *item)
{
    free(item->tails);
    free(item->prefix);
}

void cmp_erasing_destroy(struct cmp_erasing **erasing)
{
    if (*erasing == NULL) {
        return;
    }
    struct cmp_erasing *self = MRD_MOVE(*erasing);
    for (size_t i = 0; i < self->item_count; i++) {
        item_fini(&self->items[i]);
    }
    for (size_t i = 0; i < CMP_ERASING_VERIFY_MAX; i++) {
        cmp_verified_fini(&self->verified[i]);
    }
    free(self->items);
    free(self->region);
    mrd_buf_fini(&self->json);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* ---- items ---- */

/* "<region>/<tenant>/" */
static char *prefix_of(const struct cmp_erasing *erasing, struct mrd_bytes tenant)
{
    struct mrd_buf prefix = {0};
    mrd_upkeep_table_path(erasing->region, tenant, "", &prefix);
    mrd_buf_append_u8(&prefix, 0);
    return (char *)prefix.data;
}

static struct item *item_of(struct cmp_erasing *erasing, const struct mrd_catalog_erasure *erasure)
{
    for (size_t i = 0; i < erasing->item_count; i++) {
        if (mrd_id128_equal(erasing->items[i].id, erasure->id)) {
            return &erasing->items[i];
        }
    }
    erasing->items = realloc(erasing->items, (erasing->item_count + 1) * sizeof(*erasing->items));
    mrd_assert(erasing->items != NULL);
    struct item *item = &erasing->items[erasing->item_count++];
    *item = (struct item){.id = erasure->id,
                          .told = STATES,
                          .partition_count = erasure->partition_count,
                          .prefix = prefix_of(erasing, erasure->tenant),
                          .tails = calloc(erasure->partition_count, sizeof(*item->tails))};
    mrd_assert(item->tails != NULL);
    return item;
}

static void drop_unseen(struct cmp_erasing *erasing)
{
    size_t kept = 0;
    for (size_t i = 0; i < erasing->item_count; i++) {
        if (erasing->items[i].seen) {
            erasing->items[i].seen = false;
            erasing->items[kept++] = erasing->items[i];
        } else {
            item_fini(&erasing->items[i]);
        }
    }
    erasing->item_count = kept;
}

/* ---- what an erasure waits for ---- */

/* The log must have dropped the request as well: it says what was erased. */
static enum mrd_status look_at_log(struct item *item, const struct mrd_catalog_erasure *erasure,
                                   const struct cmp_environment *environment, enum state *out,
                                   struct mrd_error *err)
{
    *out = READY;
    for (uint32_t p = 0; p < erasure->partition_count; p++) {
        struct tail *tail = &item->tails[p];
        struct mrd_log_state log = {0};
        const enum mrd_status status =
            mrd_log_state_read(environment->bus, p, LOG_CALL_MS, &log, err);
        if (status == MRD_E_NOT_FOUND) {
            continue; /* there is no such log any more */
        }
        MRD_TRY(status);
        tail->dropped += tail->passed && log.bytes < tail->bytes ? tail->bytes - log.bytes : 0;
        tail->bytes = log.bytes;
        tail->passed = log.sequence_first > erasure->sequences[p];
        if (!tail->passed && *out != LOG) {
            *out = LOG;
            item->partition = p;
        } else if (tail->passed && log.messages > 0 &&
                   tail->dropped < mrd_log_file_bytes(log.bytes_max) && *out == READY) {
            *out = LOG_FILES;
            item->partition = p;
        }
    }
    return MRD_OK;
}

static mrd_time_ms grace_ms(const struct cmp_environment *environment)
{
    return mrd_catalog_kept_ms(environment->catalog);
}

/* The request goes before the receipt comes, and after all else was seen to: who does not find it has nothing to see to any more. Of one that is not what was
 * stored nobody knows; it does not end. */
static enum mrd_status learn_subject(struct item *item, const struct mrd_catalog_erasure *erasure,
                                     const struct cmp_environment *environment,
                                     struct mrd_error *err)
{
    bool is_of_tenant = false;
    if (item->subject != UNKNOWN) {
        return MRD_OK;
    }
    const enum mrd_status status = mrd_catalog_request_is_of_tenant(
        environment->store, erasure, &environment->control, &is_of_tenant, err);
    if (status == MRD_OK || status == MRD_E_NOT_FOUND) {
        item->subject = is_of_tenant ? TENANT : SERIES;
        return MRD_OK;
    }
    return status == MRD_E_CORRUPT || status == MRD_E_UNSUPPORTED ? MRD_OK : status;
}

/* What is left of a tenant that is deleted and writes nothing any more. */
static enum mrd_status look_at_tenant(const struct cmp_erasing *erasing, struct item *item,
                                      const struct mrd_catalog_state *state,
                                      const struct mrd_catalog_erasure *erasure,
                                      const struct cmp_environment *environment,
                                      struct mrd_error *err)
{
    bool files = false;
    if (item->state < WAITING) {
        return MRD_OK;
    }
    MRD_TRY(learn_subject(item, erasure, environment, err));
    if (item->subject == UNKNOWN && item->state == READY) {
        item->state = SWEEPING;
    }
    if (item->subject != TENANT || cmp_tenant_lives(state, erasure->tenant)) {
        return MRD_OK;
    }
    if (cmp_tenant_has_tables(state, erasure->tenant)) {
        item->state = TABLES;
    } else if (item->state == READY) {
        MRD_TRY(cmp_tenant_has_files(environment, erasing->options.region, erasure->tenant, &files,
                                     err));
        item->state = files ? SWEEPING : READY;
    }
    return MRD_OK;
}

/* Until when somebody may have written files that have what is erased, without knowing it yet (erasing.h). */
static mrd_time_ms unknowing_ms(const struct mrd_catalog_erasure *erasure,
                                const struct cmp_environment *environment)
{
    return erasure->changed_ms + grace_ms(environment) / 4 * 3;
}

/* Whether a sweep that began later than that has left none of them. */
static bool is_swept(const struct item *item, const struct mrd_catalog_erasure *erasure,
                     const struct cmp_environment *environment)
{
    const mrd_time_ms until_ms = unknowing_ms(erasure, environment);
    return item->swept_ms > until_ms && item->left_ms > until_ms;
}

/* Without a look at the log. */
static enum state state_of(const struct cmp_erasing *erasing, const struct item *item,
                           const struct mrd_catalog_state *state,
                           const struct mrd_catalog_erasure *erasure,
                           const struct cmp_environment *environment)
{
    if (erasure->owed_count > 0) {
        return OWING;
    }
    if (!mrd_catalog_erasure_passed(state, erasure)) {
        return BUILDING;
    }
    if (mrd_clock_now_ms(environment->clock) <= erasure->changed_ms + grace_ms(environment)) {
        return WAITING;
    }
    return erasure->leaving_count > 0 || erasing->oldest < erasure->changed ||
                   !is_swept(item, erasure, environment)
               ? SWEEPING
               : READY;
}

static size_t count_bad(struct cmp_erasing *erasing, const struct mrd_catalog_erasure *erasure)
{
    size_t bad = 0;
    for (size_t i = 0; i < erasure->owed_count; i++) {
        bad +=
            erasing->options.is_bad(erasing->options.context, mrd_catalog_erasure_owed(erasure, i));
    }
    return bad;
}

/* ---- telling ---- */

static void id_text(struct mrd_id128 id, char out[33])
{
    (void)snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, id.high, id.low);
}

/* When the state changes, and at a slow pace. */
static void tell(struct item *item, const struct mrd_catalog_erasure *erasure,
                 const struct cmp_environment *environment)
{
    const int64_t now_ns = mrd_clock_monotonic_ns(environment->clock);
    char id[33];
    if (item->told == item->state && now_ns < item->told_ns + (int64_t)TELL_MS * 1000000) {
        return;
    }
    item->told = item->state;
    item->told_ns = now_ns;
    id_text(erasure->id, id);
    MRD_LOG_INFO("a request to erase is under way", mrd_log_str("erasure", id),
                 mrd_log_str("state", names[item->state]),
                 mrd_log_uint("owed", erasure->owed_count),
                 mrd_log_uint("leaving", erasure->leaving_count),
                 mrd_log_uint("partition", item->partition));
    if (item->bad > 0) {
        MRD_LOG_WARN("blocks in quarantine may have what is to be erased: repair them or take them "
                     "away, see /quarantine",
                     mrd_log_str("erasure", id), mrd_log_uint("blocks", item->bad));
    }
}

static void append_erasure(struct mrd_buf *out, const struct item *item,
                           const struct mrd_catalog_erasure *erasure)
{
    char id[33];
    id_text(erasure->id, id);
    mrd_buf_printf(out, "{\"id\":\"%s\",\"tenant\":\"%.*s\"",
                   id, /* of safe characters (model/tenant.h) */
                   MRD_FMT(erasure->tenant));
    mrd_buf_printf(out,
                   ",\"time_min_ms\":%" PRId64 ",\"time_max_ms\":%" PRId64
                   ",\"digest\":\"%.*s\",\"since_ms\":%" PRId64 ",\"changed_ms\":%" PRId64
                   ",\"state\":\"%s\",\"owed\":%zu,\"quarantined\":%zu,\"leaving\":%zu"
                   ",\"blocks\":%" PRIu64 ",\"samples\":%" PRIu64,
                   erasure->time_min_ms, erasure->time_max_ms, MRD_FMT(erasure->request_digest),
                   erasure->since_ms, erasure->changed_ms, names[item->state], erasure->owed_count,
                   item->bad, erasure->leaving_count, erasure->blocks, erasure->samples);
    if (item->state == LOG || item->state == LOG_FILES) {
        mrd_buf_printf(out, ",\"partition\":%" PRIu32, item->partition);
    }
    mrd_buf_append_text(out, "}");
}

static void append_receipt(struct mrd_buf *out, const struct mrd_catalog_receipt *receipt)
{
    char id[33];
    id_text(receipt->id, id);
    mrd_buf_printf(out, "{\"id\":\"%s\",\"tenant\":\"%.*s\"", id, MRD_FMT(receipt->tenant));
    mrd_buf_printf(out,
                   ",\"time_min_ms\":%" PRId64 ",\"time_max_ms\":%" PRId64
                   ",\"digest\":\"%.*s\",\"since_ms\":%" PRId64 ",\"done_ms\":%" PRId64
                   ",\"blocks\":%" PRIu64 ",\"samples\":%" PRIu64 "}",
                   receipt->time_min_ms, receipt->time_max_ms, MRD_FMT(receipt->request_digest),
                   receipt->since_ms, receipt->done_ms, receipt->blocks, receipt->samples);
}

static void show(struct cmp_erasing *erasing, const struct mrd_catalog_state *state,
                 const struct cmp_environment *environment)
{
    struct mrd_buf json = {0};
    int64_t counts[STATES] = {0};
    mrd_buf_printf(&json, "{\"seen_ms\":%" PRId64 ",\"erasures\":[",
                   mrd_clock_now_ms(environment->clock));
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        const struct item *item = item_of(erasing, erasure);
        counts[item->state]++;
        mrd_buf_append_text(&json, i == 0 ? "" : ",");
        append_erasure(&json, item, erasure);
    }
    mrd_buf_append_text(&json, "],\"receipts\":[");
    for (size_t i = 0; i < mrd_catalog_receipt_count(state); i++) {
        mrd_buf_append_text(&json, i == 0 ? "" : ",");
        append_receipt(&json, mrd_catalog_receipt_at(state, i));
    }
    mrd_buf_append_text(&json, "],\"verified\":[");
    for (size_t i = 0; i < MRD_MIN(erasing->verified_count, (size_t)CMP_ERASING_VERIFY_MAX); i++) {
        mrd_buf_append_text(&json, i == 0 ? "" : ",");
        cmp_verified_json(&erasing->verified[i], &json);
    }
    mrd_buf_append_text(&json, "]}\n");
    for (size_t i = 0; i < STATES; i++) {
        mrd_gauge_set(erasing->states[i], counts[i]);
    }
    pthread_mutex_lock(&erasing->lock);
    mrd_buf_fini(&erasing->json);
    erasing->json = json;
    pthread_mutex_unlock(&erasing->lock);
}

void cmp_erasing_json(struct cmp_erasing *erasing, struct mrd_buf *out)
{
    pthread_mutex_lock(&erasing->lock);
    mrd_buf_append_bytes(out, mrd_buf_view(&erasing->json));
    pthread_mutex_unlock(&erasing->lock);
}

/* ---- verifying ---- */

bool cmp_erasing_verify(struct cmp_erasing *erasing, struct mrd_id128 id)
{
    pthread_mutex_lock(&erasing->lock);
    const bool fits = erasing->wanted_count < CMP_ERASING_VERIFY_MAX;
    if (fits) {
        erasing->wanted[erasing->wanted_count++] = id;
    }
    pthread_mutex_unlock(&erasing->lock);
    return fits;
}

static bool next_wanted(struct cmp_erasing *erasing, struct mrd_id128 *out)
{
    pthread_mutex_lock(&erasing->lock);
    const bool found = erasing->wanted_count > 0;
    if (found) {
        *out = erasing->wanted[--erasing->wanted_count];
    }
    pthread_mutex_unlock(&erasing->lock);
    return found;
}

static void keep_verified(struct cmp_erasing *erasing, const struct cmp_verified *verified)
{
    size_t at = erasing->verified_count % CMP_ERASING_VERIFY_MAX;
    for (size_t i = 0; i < MRD_MIN(erasing->verified_count, (size_t)CMP_ERASING_VERIFY_MAX); i++) {
        at = mrd_id128_equal(erasing->verified[i].id, verified->id) ? i : at;
    }
    erasing->verified_count += at == erasing->verified_count % CMP_ERASING_VERIFY_MAX;
    cmp_verified_fini(&erasing->verified[at]);
    erasing->verified[at] = *verified;
}

/* Of what cannot be verified now nothing is told; whoever asked asks again. */
static enum mrd_status verify_wanted(struct cmp_erasing *erasing,
                                     const struct cmp_environment *environment,
                                     struct mrd_error *err)
{
    struct mrd_id128 id;
    while (next_wanted(erasing, &id)) {
        struct cmp_verified verified;
        const enum mrd_status status = cmp_verify(environment, erasing->region, id, &verified, err);
        if (status != MRD_OK) {
            cmp_verified_fini(&verified);
            return status;
        }
        keep_verified(erasing, &verified);
    }
    return MRD_OK;
}

/* ---- a round ---- */

static enum mrd_status look(struct cmp_erasing *erasing, const struct mrd_catalog_state *state,
                            const struct cmp_environment *environment, struct mrd_error *err)
{
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        struct item *item = item_of(erasing, erasure);
        enum state log = READY;
        item->seen = true;
        item->bad = count_bad(erasing, erasure);
        item->state = state_of(erasing, item, state, erasure, environment);
        MRD_TRY(look_at_tenant(erasing, item, state, erasure, environment, err));
        if (item->state >=
            WAITING) { /* before the end, too: of the log's files only seeing them go says much */
            MRD_TRY(look_at_log(item, erasure, environment, &log, err));
        }
        item->state = item->state == READY ? log : item->state;
        tell(item, erasure, environment);
    }
    drop_unseen(erasing);
    return MRD_OK;
}

/* A checkpoint, so that in a grace from now what was before stands nowhere. */
static enum mrd_status see_to_checkpoint(struct cmp_erasing *erasing,
                                         const struct mrd_catalog_state *state,
                                         const struct cmp_environment *environment,
                                         struct mrd_error *err)
{
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        const enum state at = item_of(erasing, erasure)->state;
        if (at != OWING && at != BUILDING && erasure->changed > erasing->checkpoint) {
            MRD_TRY(mrd_catalog_checkpoint(environment->catalog, &environment->control, err));
            erasing->checkpoint = mrd_catalog_number(state);
        }
    }
    return MRD_OK;
}

static enum mrd_status drop_tables(struct cmp_erasing *erasing,
                                   const struct mrd_catalog_state *state,
                                   const struct cmp_environment *environment, struct mrd_error *err)
{
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        if (item_of(erasing, erasure)->state == TABLES) {
            MRD_TRY(cmp_tenant_drop_tables(environment, state, erasure->tenant, err));
        }
    }
    return MRD_OK;
}

/* A file that is left and that nobody names: of a tenant's tables, or of all tenants (blocks of level 0). */
static void note_unnamed(void *context, const char *key, mrd_time_ms modified_ms)
{
    struct cmp_erasing *erasing = context;
    const size_t size = strlen(erasing->region);
    const bool of_all = strncmp(key, erasing->region, size) != 0 || key[size] != '/';
    for (size_t i = 0; i < erasing->item_count; i++) {
        struct item *item = &erasing->items[i];
        if (of_all || strncmp(key, item->prefix, strlen(item->prefix)) == 0) {
            item->left_ms = MRD_MIN(item->left_ms, modified_ms);
        }
    }
}

static enum mrd_status sweep(struct cmp_erasing *erasing, const struct cmp_environment *environment,
                             struct mrd_error *err)
{
    const struct mrd_upkeep_unnamed unnamed = {note_unnamed, erasing};
    const mrd_time_ms begun_ms = mrd_clock_now_ms(environment->clock);
    for (size_t i = 0; i < erasing->item_count; i++) {
        erasing->items[i].swept_ms = 0;
        erasing->items[i].left_ms = INT64_MAX;
    }
    MRD_TRY(erasing->options.sweep(erasing->options.context, &unnamed, environment, err));
    for (size_t i = 0; i < erasing->item_count; i++) {
        erasing->items[i].swept_ms = begun_ms;
    }
    return MRD_OK;
}

static enum mrd_status sweep_if_due(struct cmp_erasing *erasing,
                                    const struct mrd_catalog_state *state,
                                    const struct cmp_environment *environment, bool *out_swept,
                                    struct mrd_error *err)
{
    const int64_t now_ns = mrd_clock_monotonic_ns(environment->clock);
    bool due = false;
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        due |= item_of(erasing, mrd_catalog_erasure_at(state, i))->state == SWEEPING;
    }
    *out_swept = due && now_ns >= erasing->sweep_ns;
    if (!*out_swept) {
        return MRD_OK;
    }
    mrd_time_ms pause_ms = grace_ms(environment) / SWEEP_PAUSES;
    pause_ms = MRD_MAX(pause_ms, (mrd_time_ms)SWEEP_PAUSE_MS_MIN);
    pause_ms = MRD_MIN(pause_ms, (mrd_time_ms)SWEEP_PAUSE_MS_MAX);
    erasing->sweep_ns = now_ns + pause_ms * 1000000;
    MRD_TRY(sweep(erasing, environment, err));
    return mrd_catalog_oldest(environment->catalog, &environment->control, &erasing->oldest, err);
}

/* The request first: it says what was erased, and nobody reads it any more. */
static enum mrd_status end(struct cmp_erasing *erasing, const struct mrd_catalog_erasure *erasure,
                           const struct cmp_environment *environment, struct mrd_error *err)
{
    char key[MRD_CATALOG_NAME_SIZE_MAX + 1];
    char id[33];
    id_text(erasure->id, id);
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(erasure->request_key));
    MRD_TRY(mrd_objstore_delete(environment->store, key, &environment->control, err));
    const struct mrd_catalog_change change = {.done = &erasure->id, .done_count = 1};
    const enum mrd_status status =
        mrd_catalog_commit(environment->catalog, &change, &environment->control, err);
    if (status == MRD_E_CONFLICT) {
        return MRD_OK; /* the next round looks again */
    }
    MRD_TRY(status);
    mrd_counter_add(erasing->done, 1);
    MRD_LOG_INFO("what was to be erased is nowhere any more", mrd_log_str("erasure", id),
                 mrd_log_uint("blocks", erasure->blocks),
                 mrd_log_uint("samples", erasure->samples));
    return MRD_OK;
}

static enum mrd_status advance(struct cmp_erasing *erasing, struct mrd_catalog_state **state,
                               const struct cmp_environment *environment, struct mrd_error *err)
{
    bool swept = false;
    MRD_TRY(drop_tables(erasing, *state, environment, err));
    MRD_TRY(see_to_checkpoint(erasing, *state, environment, err));
    MRD_TRY(sweep_if_due(erasing, *state, environment, &swept, err));
    if (swept) {
        MRD_TRY(mrd_catalog_refresh(environment->catalog, &environment->control, err));
        mrd_catalog_unpin(state);
        *state = mrd_catalog_pin(environment->catalog);
        MRD_TRY(look(erasing, *state, environment, err));
    }
    for (size_t i = 0; i < mrd_catalog_erasure_count(*state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(*state, i);
        if (item_of(erasing, erasure)->state == READY) {
            MRD_TRY(end(erasing, erasure, environment, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status erase_round(void *context, const struct cmp_environment *environment,
                                   struct mrd_error *err)
{
    struct cmp_erasing *erasing = context;
    MRD_TRY(verify_wanted(erasing, environment, err));
    MRD_TRY(mrd_catalog_refresh(environment->catalog, &environment->control, err));
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *state = mrd_catalog_pin(environment->catalog);
    MRD_TRY(look(erasing, state, environment, err));
    show(erasing, state, environment);
    if (mrd_catalog_erasure_count(state) == 0) {
        return MRD_OK;
    }
    struct mrd_lease *lease = NULL;
    MRD_TRY(mrd_lease_try(environment->leases, CMP_ERASING_ROLE, &lease, err));
    if (lease == NULL) {
        return MRD_OK; /* another is at it */
    }
    const enum mrd_status status = advance(erasing, &state, environment, err);
    mrd_lease_release(&lease);
    return status;
}

struct cmp_role cmp_erasing_role(struct cmp_erasing *erasing)
{
    return (struct cmp_role){.name = CMP_ERASING_ROLE,
                             .interval_ms = INTERVAL_MS,
                             .round = erase_round,
                             .context = erasing};
}
