#include "querier/tiers.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/duration.h"
#include "codec/resets.h"

enum {
    BLOCKS_SHARE = 2,      /* one in so many bytes of a query's memory, for reading blocks */
    ASSURE_WAIT_MS = 2000, /* for the catalog; then what needs no blocks goes on without */
};

/* ---- what heads hold ---- */

/* The first sequence that no block of the state has. */
static uint64_t next_of(const struct mrd_catalog_state *state, uint32_t partition)
{
    return state == NULL ? 1 : mrd_catalog_built(state, partition) + 1;
}

/* Whether the head of a partition, which begins at `first`, begins behind the blocks. One that does not say is asked nothing. */
static bool is_behind(const struct mrd_catalog_state *state, uint32_t partition, uint64_t first)
{
    return first != UINT64_MAX && first > next_of(state, partition);
}

static enum mrd_status gap_found(struct qry_tiers *tiers, uint32_t partition, uint64_t first,
                                 bool known, struct mrd_error *err)
{
    const struct mrd_catalog_state *state = tiers->pin.state;
    if (!known) {
        return mrd_fail(err, MRD_E_CONFLICT,
                        "the head of partition %" PRIu32 " begins at sequence %" PRIu64
                        " of the log, the blocks of the catalog end before %" PRIu64,
                        partition, first, next_of(state, partition));
    }
    if (tiers->gap) {
        return MRD_OK; /* one is enough to say */
    }
    tiers->gap = true;
    if (tiers->warning[0] == '\0') {
        (void)snprintf(tiers->warning, sizeof(tiers->warning),
                       "possible gap: the log of partition %" PRIu32
                       " was trimmed before blocks had it: heads begin at sequence %" PRIu64
                       ", blocks end before %" PRIu64,
                       partition, first, next_of(state, partition));
    }
    return MRD_OK;
}

static void another_found(struct qry_tiers *tiers, uint32_t partition)
{
    if (tiers->warning[0] == '\0') {
        (void)snprintf(tiers->warning, sizeof(tiers->warning),
                       "possible gap: the log of partition %" PRIu32
                       " is not the one that blocks were built of: it was lost or restored, and "
                       "what of it was not in blocks may be missing (mrdctl log status)",
                       partition);
    }
}

/* What the state has of a partition. */
static struct mrd_catalog_built built_of(const struct mrd_catalog_state *state, uint32_t partition)
{
    const struct mrd_catalog_built *built =
        state == NULL ? NULL : mrd_catalog_built_find(state, partition);
    return built == NULL ? (struct mrd_catalog_built){.partition = partition} : *built;
}

static struct qry_held held_of(const struct mrd_catalog_state *state,
                               const struct mrd_members_snapshot *members, uint32_t partition)
{
    const struct mrd_catalog_built built = built_of(state, partition);
    struct qry_held held;
    qry_cluster_held(members, partition, built.log, &held);
    /* Of blocks whose log is not known nobody can say that a head has what they have. */
    return built.sequence > 0 && !mrd_log_identity_known(built.log)
               ? (struct qry_held){.first = UINT64_MAX}
               : held;
}

/* Per partition, what goes with a question. */
struct needs {
    uint64_t *firsts;
    uint64_t *logs;
    struct mrd_log_mark *marks;
    struct mrd_block_cover *covers;
};

/* Of a partition whose heads do not say where they begin, or that has none at the moment, all blocks are needed; whoever answers for it
 * then must begin no later than they end. Whoever has read another log than that of the blocks may answer in any case. */
static enum mrd_status look_at_partition(struct qry_tiers *tiers,
                                         const struct mrd_members_snapshot *members,
                                         bool gaps_known, uint32_t p, const struct needs *out,
                                         struct mrd_error *err)
{
    const struct mrd_catalog_state *state = tiers->pin.state;
    const struct mrd_catalog_built built = built_of(state, p);
    const struct qry_held held = held_of(state, members, p);
    const uint64_t *strong = tiers->remote->options.logs;
    const uint64_t tag = mrd_log_identity_tag(built.log);
    out->logs[p] = strong == NULL ? tag : strong[p];
    if (held.another != 0 || (tag != 0 && out->logs[p] != tag)) {
        another_found(tiers, p);
        out->covers[p] = (struct mrd_block_cover){.sequence_first = UINT64_MAX};
        out->firsts[p] = UINT64_MAX;
        out->logs[p] = strong == NULL ? 0 : strong[p];
        return MRD_OK;
    }
    out->covers[p] = (struct mrd_block_cover){held.first, held.last};
    out->firsts[p] = held.first;
    out->marks[p] = (struct mrd_log_mark){built.sequence, built.stored_ms};
    if (is_behind(state, p, held.first)) {
        return gap_found(tiers, p, held.first, gaps_known, err);
    }
    if (held.first == UINT64_MAX && state != NULL) {
        out->firsts[p] = next_of(state, p);
    }
    return MRD_OK;
}

/* What heads hold, and what they must hold to answer. */
static enum mrd_status look_at_heads(struct qry_tiers *tiers,
                                     const struct mrd_members_snapshot *members, bool gaps_known,
                                     struct mrd_arena *arena, struct mrd_error *err)
{
    struct qry_remote_options *remote = &tiers->remote->options;
    const uint32_t count = remote->cluster->partition_count;
    const struct needs needs = {
        .firsts = mrd_arena_alloc_array(arena, count, sizeof(*needs.firsts)),
        .logs = mrd_arena_alloc_array(arena, count, sizeof(*needs.logs)),
        .marks = mrd_arena_alloc_array(arena, count, sizeof(*needs.marks)),
        .covers = mrd_arena_alloc_array(arena, count, sizeof(*needs.covers)),
    };
    if (needs.covers == NULL || needs.firsts == NULL || needs.logs == NULL || needs.marks == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (uint32_t p = 0; p < count; p++) {
        MRD_TRY(look_at_partition(tiers, members, gaps_known, p, &needs, err));
    }
    remote->sequences_first_max = needs.firsts;
    remote->logs = needs.logs;
    remote->marks = needs.marks;
    tiers->blocks.options.covers = needs.covers;
    tiers->blocks.options.partition_count = count;
    return MRD_OK;
}

/* ---- the source ---- */

static void warn(const struct mrd_query_scope *scope, const char *text)
{
    if (scope->annotations != NULL) {
        mrd_annotations_add(scope->annotations, MRD_ANNOTATION_WARNING, mrd_bytes_of(text));
    }
}

static enum mrd_status is_stale(const struct qry_tiers *tiers, const struct mrd_query_scope *scope,
                                struct mrd_error *err)
{
    struct mrd_error why;
    char age[MRD_DURATION_TEXT_MAX];
    (void)mrd_fail(&why, MRD_E_UNAVAILABLE,
                   "the query needs blocks, and the catalog of blocks was last read %s ago "
                   "(querier.block_stale_max): object storage does not answer",
                   mrd_duration_format(tiers->pin.age_ms, age));
    if (!tiers->remote->options.partial) {
        *err = why;
        return MRD_E_UNAVAILABLE;
    }
    char warning[QRY_TIERS_WARNING_MAX];
    (void)snprintf(warning, sizeof(warning), "partial answer: %.*s", QRY_TIERS_WARNING_MAX - 20,
                   why.text);
    warn(scope, warning);
    return MRD_OK;
}

/* A partial answer goes without blocks: rather nothing than what is erased. */
static enum mrd_status is_unsure(const struct qry_tiers *tiers, const struct mrd_query_scope *scope,
                                 struct mrd_error *err)
{
    if (!tiers->remote->options.partial) {
        *err = tiers->unsure;
        return err->status;
    }
    char warning[QRY_TIERS_WARNING_MAX];
    (void)snprintf(warning, sizeof(warning), "partial answer: %.*s", QRY_TIERS_WARNING_MAX - 20,
                   tiers->unsure.text);
    warn(scope, warning);
    return MRD_OK;
}

static enum mrd_status needs_blocks(void *context, const struct mrd_select *select,
                                    const struct mrd_query_scope *scope, bool *out_needed,
                                    struct mrd_error *err)
{
    const struct qry_tiers *tiers = context;
    if (tiers->unknown.status != MRD_OK) {
        *err = tiers->unknown;
        return err->status;
    }
    *out_needed = tiers->pin.index != NULL &&
                  mrd_block_source_needed(&tiers->blocks, select->matchers, select->matcher_count,
                                          select->min_ms, select->max_ms);
    if (tiers->warning[0] != '\0') {
        warn(scope, tiers->warning);
    }
    if (*out_needed && tiers->unsure.status != MRD_OK) {
        *out_needed = false;
        return is_unsure(tiers, scope, err);
    }
    return *out_needed && tiers->pin.stale ? is_stale(tiers, scope, err) : MRD_OK;
}

static void complete_blocks(struct qry_tiers *tiers)
{
    const struct qry_remote_options *remote = &tiers->remote->options;
    struct mrd_block_source_options *blocks = &tiers->blocks.options;
    blocks->index = tiers->pin.index;
    blocks->tenant = remote->tenant;
    blocks->series_max = remote->series_max;
    blocks->samples_max = remote->samples_max;
    blocks->partial = remote->partial;
    blocks->floor_ms = remote->floor_ms;
    blocks->hidden = tiers->hiding.erasures;
    blocks->hidden_count = tiers->hiding.erasure_count;
}

mrd_time_ms qry_tiers_floor(const struct qry_tiers_floors *floors, mrd_time_ms resolution_ms)
{
    const mrd_time_ms kept_ms =
        floors->retention == NULL
            ? INT64_MIN
            : mrd_retention_floor(floors->retention, resolution_ms, floors->now_ms);
    return MRD_MAX(floors->lookback_ms, kept_ms);
}

static mrd_time_ms rollup_floor(const void *context, mrd_time_ms resolution_ms)
{
    return qry_tiers_floor(context, resolution_ms);
}

enum mrd_status qry_tiers_init(struct qry_tiers *tiers, const struct mrd_members_snapshot *members,
                               bool gaps_known, struct mrd_arena *arena, struct mrd_source *out,
                               struct mrd_error *err)
{
    struct qry_remote_options *remote = &tiers->remote->options;
    MRD_TRY(look_at_heads(tiers, members, gaps_known, arena, err));
    MRD_TRY(qry_hiding_init(&tiers->hiding, tiers->floors.rules, remote->tenant,
                            tiers->floors.now_ms, arena, err));
    complete_blocks(tiers);
    remote->in_order = true;
    tiers->remote_source = qry_remote_source(tiers->remote);
    tiers->head_source = qry_hiding_heads(&tiers->hiding, &tiers->remote_source);
    tiers->block_source = mrd_block_source_get(&tiers->blocks);
    tiers->tiers = (struct mrd_tiers){
        .head = &tiers->head_source,
        .blocks = &tiers->block_source,
        .needs_blocks = needs_blocks,
        .context = tiers,
        .merge = {.samples_max = remote->samples_max, .find_resets = mrd_histograms_find_resets}
    };
    *out = mrd_tiers_source(&tiers->tiers);
    tiers->rollups.options = (struct mrd_rollup_source_options){.blocks = &tiers->blocks,
                                                                .heads = &tiers->head_source,
                                                                .floor_ms = rollup_floor,
                                                                .floor_context = &tiers->floors,
                                                                .hidden = tiers->hiding.samples,
                                                                .hidden_ms = qry_hiding_rows,
                                                                .hidden_context = &tiers->hiding};
    /* Of a state that cannot be had, or is old, the selects of samples say so. */
    if (tiers->pin.index != NULL && tiers->unknown.status == MRD_OK &&
        tiers->unsure.status == MRD_OK && !tiers->pin.stale) {
        out->coarse = mrd_rollup_source_init(&tiers->rollups);
    }
    return MRD_OK;
}

/* ---- the state and the members of now ---- */

/* Whether all heads that begin behind the blocks, or have read another log, have been looked into before. */
static bool are_gaps_known(const struct qry_tiers *tiers,
                           const struct mrd_members_snapshot *members)
{
    const uint32_t count = tiers->remote->options.cluster->partition_count;
    for (uint32_t p = 0; p < count; p++) {
        const struct qry_held held = held_of(tiers->pin.state, members, p);
        if ((is_behind(tiers->pin.state, p, held.first) &&
             !qry_blocks_gap_known(tiers->region, p, held.first)) ||
            (held.another != 0 && !qry_blocks_log_known(tiers->region, p, held.another))) {
            return false;
        }
    }
    return true;
}

static void confirm_gaps(const struct qry_tiers *tiers, const struct mrd_members_snapshot *members)
{
    const uint32_t count = tiers->remote->options.cluster->partition_count;
    for (uint32_t p = 0; p < count; p++) {
        const struct qry_held held = held_of(tiers->pin.state, members, p);
        if (is_behind(tiers->pin.state, p, held.first)) {
            qry_blocks_gap_confirm(tiers->region, p, held.first);
        }
        if (held.another != 0) {
            qry_blocks_log_confirm(tiers->region, p, held.another);
        }
    }
}

/* The members are those of before the refresh: what they say of the log's beginning was true when it began. */
static enum mrd_status refresh(struct qry_tiers *tiers, const struct mrd_members_snapshot *members,
                               const struct mrd_query_scope *scope, struct mrd_error *err)
{
    MRD_TRY(qry_blocks_refresh(tiers->region, scope->control, err));
    qry_blocks_unpin(&tiers->pin);
    MRD_TRY(qry_blocks_pin(tiers->region, &tiers->pin, err));
    confirm_gaps(tiers, members);
    return MRD_OK;
}

/* What cannot be known of blocks is an error of the selects, so not of queries that have none. Asked for a partial answer it is a
 * warning, and what there is answers. */
static enum mrd_status unavailable(struct qry_tiers *tiers, struct mrd_error *err)
{
    if (err->status != MRD_E_UNAVAILABLE) {
        return err->status;
    }
    if (!tiers->remote->options.partial) {
        tiers->unknown = *err;
        return MRD_OK;
    }
    (void)snprintf(tiers->warning, sizeof(tiers->warning), "partial answer: %.*s",
                   QRY_TIERS_WARNING_MAX - 20, err->text);
    return MRD_OK;
}

/* Where the others may have gone on without us, what we know may lack erasures: then the state must be one of now. */
static enum mrd_status assure(struct qry_tiers *tiers, const struct mrd_query_scope *scope,
                              struct mrd_error *err)
{
    struct qry_remote_options *remote = &tiers->remote->options;
    struct mrd_members *members = remote->cluster->members;
    if (tiers->erasures == NULL || qry_erasures_in_touch(tiers->erasures, members)) {
        return MRD_OK;
    }
    struct mrd_query_control soon = {.clock = mrd_clock_system()};
    if (scope->control != NULL) {
        soon.canceled = scope->control->canceled;
    }
    soon.deadline_ns = mrd_clock_monotonic_ns(soon.clock) + ASSURE_WAIT_MS * (int64_t)1000000;
    const enum mrd_status status =
        qry_erasures_catch_up(tiers->erasures, members, tiers->region, &soon, &tiers->unsure);
    if (status == MRD_E_TIMEOUT) {
        (void)mrd_fail(
            &tiers->unsure, MRD_E_UNAVAILABLE,
            "the catalog of blocks in object storage cannot be read in time, and what was "
            "read of it before may lack deletions");
    }
    if (status == MRD_E_TIMEOUT || status == MRD_E_UNAVAILABLE) {
        return mrd_query_check(scope->control, err); /* the selects that need blocks say so */
    }
    if (status != MRD_OK) {
        *err = tiers->unsure;
        return status;
    }
    qry_blocks_unpin(&tiers->pin);
    MRD_TRY(qry_blocks_pin(tiers->region, &tiers->pin, err));
    return qry_erasures_floor(tiers->erasures, scope->arena, &remote->sequences_min, err);
}

static enum mrd_status open_with(struct qry_tiers *tiers,
                                 const struct mrd_members_snapshot *members,
                                 const struct mrd_query_scope *scope, struct mrd_source *out,
                                 struct mrd_error *err)
{
    if (qry_blocks_pin(tiers->region, &tiers->pin, err) != MRD_OK) {
        MRD_TRY(unavailable(tiers, err));
    } else if (!are_gaps_known(tiers, members) && refresh(tiers, members, scope, err) != MRD_OK) {
        MRD_TRY(unavailable(tiers, err));
    }
    if (tiers->pin.view != NULL) { /* as it is to be used */
        MRD_TRY(assure(tiers, scope, err));
    }
    return qry_tiers_init(tiers, members, true, scope->arena, out, err);
}

enum mrd_status qry_tiers_open(struct qry_tiers *tiers, struct qry_blocks *region,
                               const struct mrd_query_scope *scope, struct mrd_source *out,
                               struct mrd_error *err)
{
    tiers->region = region;
    tiers->blocks.options = (struct mrd_block_source_options){
        .memory_max = mrd_arena_limit(scope->arena) / BLOCKS_SHARE,
        .figures = &tiers->figures,
    };
    qry_blocks_source(region, &tiers->blocks.options);
    const struct mrd_members_snapshot *members =
        mrd_members_acquire(tiers->remote->options.cluster->members);
    const enum mrd_status status = open_with(tiers, members, scope, out, err);
    mrd_members_release(&members);
    return status;
}

void qry_tiers_close(struct qry_tiers *tiers)
{
    if (tiers->region != NULL) {
        qry_blocks_count(tiers->region, &tiers->figures, tiers->gap);
        qry_blocks_unpin(&tiers->pin);
        tiers->region = NULL;
    }
}
