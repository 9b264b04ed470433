#include "compactor/merging.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "compactor/retaining.h"
#include "tenancy/keys.h"
#include "tenancy/settings.h"

enum {
    PLAN_BYTES_MAX = 1 << 30,
    FAILED_MAX = 256,
    PLAN_MS_MAX = 60 * 1000,
    PLANS = 8 /* in a grace, at least */,
    LOST_MAX = 5 /* plans of a round of which nothing could be committed */
};

struct figures {
    struct mrd_counter *merges;
    struct mrd_counter *units;
    struct mrd_counter *lost;
    struct mrd_counter *overtaken;
    struct mrd_counter *erased;
    struct mrd_counter *rows_erased;
    struct mrd_counter *settled;
    struct mrd_counter *retained;
    struct mrd_counter *failed;
    struct mrd_counter *samples_in;
    struct mrd_counter *samples_out;
    struct mrd_counter *duplicates;
    struct mrd_counter *overridden;
    struct mrd_counter *unordered;
    struct mrd_counter *bytes_in;
    struct mrd_counter *bytes_out;
    struct mrd_counter *blocks_in;
    struct mrd_counter *blocks_out;
    struct mrd_counter *rollups_out;
    struct mrd_counter *tables;
    struct mrd_counter *publish_failures;
    struct mrd_counter *bad_blocks;
    struct mrd_gauge *quarantine;
    struct mrd_gauge *backlog_blocks;
    struct mrd_gauge *backlog_seconds;
    struct mrd_metrics_histogram *seconds;
};

/* A unit that failed for reasons of its own. */
struct failure {
    char lease[MRD_UPKEEP_LEASE_SIZE];
    int64_t until_ns;
};

struct cmp_merging {
    struct figures figures;
    mrd_time_ms interval_ms;
    struct mrd_upkeep_plan_options plan;   /* but the time and the quarantine */
    struct mrd_upkeep_merge_options merge; /* likewise, and without the environment */
    struct mrd_upkeep_tables tables;
    bool keeps_tables;
    char *holder;
    char *region;
    struct mrd_tenancy_settings *layouts; /* struct layout */
    struct cmp_retaining *retaining;
    mrd_time_ms resolutions_ms[MRD_ROLLUP_LEVELS_MAX];
    struct failure failed[FAILED_MAX]; /* the round's */
    size_t failed_at;
    struct mrd_catalog_requests *requests; /* of the last plan; the round's */
    bool erased_last;                      /* whether the last unit was one that erases */
    _Atomic bool wanted;                   /* relaxed: a wish */

    pthread_mutex_t lock;      /* guards what follows */
    struct mrd_buf quarantine; /* JSON */
    struct mrd_buf bad_ids;    /* the blocks in it: size (varint) and bytes of each */
    struct mrd_bytes releases[CMP_MERGING_RELEASES_MAX]; /* ids, on the heap */
    size_t release_count;
};

/* ---- settings ---- */

struct layout {
    bool compact;
};

static void read_layout(const struct mrd_config *config, void *out)
{
    ((struct layout *)out)->compact = mrd_config_enum(config, "blocks.layout") == 1;
}

static bool is_compact(void *context, struct mrd_bytes tenant)
{
    const struct cmp_merging *merging = context;
    struct layout layout;
    mrd_tenancy_settings_get(merging->layouts, tenant, &layout);
    return layout.compact;
}

/* Ascending, each once, whatever their order; the key takes no others. */
static size_t read_rollups(const struct mrd_config *config, mrd_time_ms out[MRD_ROLLUP_LEVELS_MAX])
{
    static const struct {
        const char *name;
        mrd_time_ms resolution_ms;
    } known[] = {
        {"5m", MRD_ROLLUP_5M_MS},
        {"1h", MRD_ROLLUP_1H_MS},
        {"6h", MRD_ROLLUP_6H_MS},
        {"1d", MRD_ROLLUP_1D_MS},
    };
    size_t count = 0;
    for (size_t i = 0; i < MRD_ARRAY_LEN(known); i++) {
        bool wanted = false;
        for (size_t k = 0; k < mrd_config_list_size(config, "compactor.rollups"); k++) {
            wanted |=
                strcmp(mrd_config_list_at(config, "compactor.rollups", k), known[i].name) == 0;
        }
        if (wanted) {
            out[count++] = known[i].resolution_ms;
        }
    }
    return count;
}

static void figures_init(struct figures *figures, struct mrd_metrics *metrics)
{
    static const double seconds[] = {0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200};
    const struct {
        struct mrd_counter **counter;
        const char *name;
        const char *help;
    } counters[] = {
        {&figures->units,            "meridian_merge_units_total",            "Units of merging that were committed."},
        {&figures->merges,           "meridian_merge_merges_total",
         "Merges of a tenant and a day or month that were committed."                                                },
        {&figures->lost,             "meridian_merge_lost_total",
         "Units of merging that others had done meanwhile."                                                          },
        {&figures->overtaken,        "meridian_merge_overtaken_total",
         "Units of merging that were done in vain because a request to erase came meanwhile."                        },
        {&figures->erased,           "meridian_merge_erased_total",
         "Samples that committed merges have left out for requests to erase and rules of "
         "retention."                                                                                                },
        {&figures->rows_erased,      "meridian_merge_rows_erased_total",
         "Rows of rollups without samples that were left out for requests to erase."                                 },
        {&figures->settled,          "meridian_merge_settled_total",
         "Blocks that owed a request to erase, and do no more, each once for each request."                          },
        {&figures->retained,         "meridian_merge_retained_total",
         "Blocks that were written anew without what rules of retention have let go."                                },
        {&figures->failed,           "meridian_merge_failed_total",
         "Units of merging that failed for reasons of their own."                                                    },
        {&figures->samples_in,       "meridian_merge_samples_read_total",
         "Samples that committed merges have read."                                                                  },
        {&figures->samples_out,      "meridian_merge_samples_written_total",
         "Samples that committed merges have written."                                                               },
        {&figures->duplicates,       "meridian_merge_duplicates_total",
         "Samples that were there already, bit for bit."                                                             },
        {&figures->overridden,       "meridian_merge_overridden_total",
         "Samples in whose place a later write of the same time came."                                               },
        {&figures->unordered,        "meridian_merge_unordered_total",
         "Pairs of merged blocks of which nobody can say which one of two conflicting writes is "
         "later."                                                                                                    },
        {&figures->bytes_in,         "meridian_merge_bytes_read_total",
         "Size of blocks that merges have replaced."                                                                 },
        {&figures->bytes_out,        "meridian_merge_bytes_written_total",
         "Size of blocks that merges have written."                                                                  },
        {&figures->blocks_in,        "meridian_merge_blocks_replaced_total",
         "Blocks that merges have replaced."                                                                         },
        {&figures->blocks_out,       "meridian_merge_blocks_written_total",
         "Blocks that merges have written."                                                                          },
        {&figures->rollups_out,      "meridian_merge_rollups_written_total",
         "Blocks of rollup rows that merges have written."                                                           },
        {&figures->tables,           "meridian_merge_table_versions_total",
         "Versions of Iceberg tables that were committed with merges."                                               },
        {&figures->publish_failures, "meridian_merge_publish_failures_total",
         "Commits whose copies for readers without a catalog could not be made."                                     },
        {&figures->bad_blocks,       "meridian_merge_bad_blocks_total",
         "Blocks that merging put into quarantine."                                                                  },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(counters); i++) {
        *counters[i].counter =
            mrd_metrics_counter(metrics, counters[i].name, counters[i].help, NULL);
    }
    figures->quarantine = mrd_metrics_gauge(metrics, "meridian_quarantine_blocks",
                                            "Blocks in quarantine: they are not merged.", NULL);
    figures->backlog_blocks = mrd_metrics_gauge(metrics, "meridian_merge_backlog_blocks",
                                                "Blocks of level 0 that are not merged yet.", NULL);
    figures->backlog_seconds =
        mrd_metrics_gauge(metrics, "meridian_merge_backlog_seconds",
                          "How long ago the oldest block of level 0 was received.", NULL);
    figures->seconds =
        mrd_metrics_histogram(metrics, "meridian_merge_seconds", "Time of units of merging.", NULL,
                              seconds, MRD_ARRAY_LEN(seconds));
}

/* Half of the processors: others have to build blocks, and to answer. */
static size_t count_workers(const struct mrd_config *config)
{
    const int64_t configured = mrd_config_int(config, "compactor.merge_workers");
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return configured > 0 ? (size_t)configured : (size_t)MRD_MAX(processors / 2, 1L);
}

struct cmp_merging *cmp_merging_create(const struct mrd_config *config, const char *holder,
                                       const struct mrd_upkeep_tables *tables,
                                       struct mrd_metrics *metrics)
{
    struct cmp_merging *merging = calloc(1, sizeof(*merging));
    mrd_assert(merging != NULL);
    const size_t workers = count_workers(config);
    figures_init(&merging->figures, metrics);
    merging->holder = strdup(holder);
    merging->region = strdup(mrd_config_string(config, "region.id"));
    mrd_assert(merging->holder != NULL && merging->region != NULL);
    merging->interval_ms = mrd_config_duration(config, "compactor.merge_interval");
    merging->plan = (struct mrd_upkeep_plan_options){
        .age_ms_max = mrd_config_duration(config, "compactor.merge_age"),
        .tenant_rows_min = (uint64_t)mrd_config_int(config, "compactor.merge_tenant_rows"),
        .month_delay_ms = mrd_config_duration(config, "compactor.merge_month_delay"),
    };
    merging->merge = (struct mrd_upkeep_merge_options){
        .region = merging->region,
        .holder = merging->holder,
        .memory_bytes_max = mrd_config_size(config, "compactor.merge_memory_bytes_max"),
        .workers = workers,
        .shard_bytes_max = mrd_config_size(config, "compactor.merge_file_bytes"),
        .is_compact = is_compact,
        .context = merging,
    };
    merging->merge.resolution_count = read_rollups(config, merging->resolutions_ms);
    merging->merge.resolutions_ms = merging->resolutions_ms;
    merging->keeps_tables = tables != NULL;
    merging->tables = tables == NULL ? (struct mrd_upkeep_tables){0} : *tables;
    merging->tables.workers = workers;
    merging->layouts = mrd_tenancy_settings_create(sizeof(struct layout), read_layout, config);
    merging->retaining = cmp_retaining_create(config);
    pthread_mutex_init(&merging->lock, NULL);
    return merging;
}

void cmp_merging_destroy(struct cmp_merging **merging)
{
    if (*merging == NULL) {
        return;
    }
    struct cmp_merging *self = MRD_MOVE(*merging);
    for (size_t i = 0; i < self->release_count; i++) {
        free((void *)(uintptr_t)self->releases[i].data);
    }
    mrd_catalog_requests_destroy(&self->requests);
    mrd_buf_fini(&self->quarantine);
    mrd_buf_fini(&self->bad_ids);
    mrd_tenancy_settings_destroy(&self->layouts);
    cmp_retaining_destroy(&self->retaining);
    pthread_mutex_destroy(&self->lock);
    free(self->region);
    free(self->holder);
    free(self);
}

void cmp_merging_reload(struct cmp_merging *merging, const struct mrd_config *config)
{
    mrd_tenancy_settings_set(merging->layouts, config);
    cmp_retaining_reload(merging->retaining, config);
}

void cmp_merging_want(struct cmp_merging *merging)
{
    atomic_store_explicit(&merging->wanted, true, memory_order_relaxed);
}

/* ---- the quarantine ---- */

bool cmp_merging_is_bad(struct cmp_merging *merging, struct mrd_bytes id)
{
    pthread_mutex_lock(&merging->lock);
    struct mrd_reader ids = mrd_reader_of(mrd_buf_view(&merging->bad_ids));
    bool found = false;
    while (!found && mrd_reader_left(&ids) > 0) {
        const uint64_t size = mrd_read_varint(&ids);
        found = mrd_bytes_equal(mrd_read_bytes(&ids, size), id);
    }
    pthread_mutex_unlock(&merging->lock);
    return found;
}

void cmp_merging_quarantine(struct cmp_merging *merging, struct mrd_buf *out)
{
    pthread_mutex_lock(&merging->lock);
    mrd_buf_append_bytes(out, mrd_buf_view(&merging->quarantine));
    pthread_mutex_unlock(&merging->lock);
}

bool cmp_merging_release(struct cmp_merging *merging, struct mrd_bytes id)
{
    uint8_t *copy = malloc(MRD_MAX(id.size, (size_t)1));
    mrd_assert(copy != NULL);
    memcpy(copy, id.data, id.size);
    pthread_mutex_lock(&merging->lock);
    const bool fits = merging->release_count < CMP_MERGING_RELEASES_MAX;
    if (fits) {
        merging->releases[merging->release_count++] = (struct mrd_bytes){copy, id.size};
    }
    pthread_mutex_unlock(&merging->lock);
    if (!fits) {
        free(copy);
    }
    return fits;
}

static bool next_release(struct cmp_merging *merging, struct mrd_bytes *out)
{
    pthread_mutex_lock(&merging->lock);
    const bool found = merging->release_count > 0;
    if (found) {
        *out = merging->releases[--merging->release_count];
    }
    pthread_mutex_unlock(&merging->lock);
    return found;
}

static enum mrd_status do_releases(struct cmp_merging *merging,
                                   const struct cmp_environment *environment, struct mrd_error *err)
{
    struct mrd_bytes id;
    while (next_release(merging, &id)) {
        const enum mrd_status status =
            mrd_upkeep_quarantine_release(environment->store, &environment->control, id, err);
        if (status == MRD_OK) {
            MRD_LOG_INFO("a block was let out of quarantine", mrd_log_bytes("block", id));
        }
        free((void *)(uintptr_t)id.data);
        if (status != MRD_OK && status != MRD_E_NOT_FOUND) {
            return status;
        }
    }
    return MRD_OK;
}

static enum mrd_status look_at_quarantine(struct cmp_merging *merging,
                                          const struct cmp_environment *environment,
                                          struct mrd_arena *arena,
                                          struct mrd_upkeep_quarantine *out, struct mrd_error *err)
{
    MRD_TRY(do_releases(merging, environment, err));
    MRD_TRY(mrd_upkeep_quarantine_load(environment->store, &environment->control, arena, out, err));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf json = {0};
    mrd_buf_printf(&json,
                   "{\"seen_ms\":%" PRId64 ",\"blocks\":", mrd_clock_now_ms(environment->clock));
    MRD_TRY(mrd_upkeep_quarantine_json(out, &json, err));
    mrd_buf_append_text(&json, "}\n");
    pthread_mutex_lock(&merging->lock);
    mrd_buf_clear(&merging->bad_ids);
    for (size_t i = 0; i < out->count; i++) {
        mrd_buf_append_varint(&merging->bad_ids, out->records[i].block.size);
        mrd_buf_append_bytes(&merging->bad_ids, out->records[i].block);
    }
    const struct mrd_buf before = merging->quarantine;
    merging->quarantine = json;
    json = before;
    pthread_mutex_unlock(&merging->lock);
    mrd_gauge_set(merging->figures.quarantine, (int64_t)out->count);
    return MRD_OK;
}

/* ---- units that failed ---- */

static bool has_failed(const struct cmp_merging *merging, const struct mrd_upkeep_unit *unit)
{
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    for (size_t i = 0; i < FAILED_MAX; i++) {
        if (strcmp(merging->failed[i].lease, unit->lease) == 0 &&
            now_ns < merging->failed[i].until_ns) {
            return true;
        }
    }
    return false;
}

static void note_failed(struct cmp_merging *merging, const struct mrd_upkeep_unit *unit)
{
    struct failure *failure = &merging->failed[merging->failed_at++ % FAILED_MAX];
    memcpy(failure->lease, unit->lease, sizeof(failure->lease));
    failure->until_ns =
        mrd_clock_monotonic_ns(mrd_clock_system()) + (int64_t)CMP_MERGING_PAUSE_MS * 1000000;
}

/* Reasons of the unit's own, and not of the store or the process. */
static bool is_own(enum mrd_status status)
{
    return status == MRD_E_CORRUPT || status == MRD_E_LIMIT || status == MRD_E_INVALID ||
           status == MRD_E_UNSUPPORTED || status == MRD_E_NOT_FOUND || status == MRD_E_CONFLICT;
}

/* ---- one unit ---- */

/* What a round sees. */
struct view {
    const struct cmp_environment *environment;
    struct mrd_catalog_state *state;
    struct mrd_upkeep_index index;
    const struct mrd_upkeep_quarantine *quarantine;
    const struct mrd_upkeep_retain *retain;
};

static void count(struct cmp_merging *merging, const struct mrd_upkeep_unit *unit,
                  const struct mrd_upkeep_merged *merged, double seconds)
{
    const struct figures *figures = &merging->figures;
    mrd_counter_add(figures->lost, merged->lost);
    mrd_counter_add(figures->overtaken, merged->overtaken);
    if (merged->overtaken) {
        MRD_LOG_INFO("a request to erase came while blocks were merged that have some of it: they "
                     "are merged again",
                     mrd_log_bytes("tenant", unit->tenant));
    }
    mrd_counter_add(figures->bad_blocks, merged->quarantined);
    if (merged->quarantined > 0) {
        MRD_LOG_ERROR("blocks are bad and are left out from now on: see /quarantine",
                      mrd_log_uint("blocks", merged->quarantined));
    }
    if (!merged->committed) {
        return;
    }
    mrd_counter_add(figures->units, 1);
    mrd_counter_add(figures->merges, merged->merges);
    mrd_counter_add(figures->samples_in, merged->samples_in);
    mrd_counter_add(figures->samples_out, merged->samples_out);
    mrd_counter_add(figures->duplicates, merged->duplicates);
    mrd_counter_add(figures->overridden, merged->overridden);
    mrd_counter_add(figures->unordered, merged->unordered);
    mrd_counter_add(figures->erased, merged->erased);
    mrd_counter_add(figures->rows_erased, merged->rows_erased);
    mrd_counter_add(figures->settled, merged->settled);
    mrd_counter_add(figures->retained, unit->kind == MRD_UPKEEP_RETAIN ? merged->blocks_in : 0);
    mrd_counter_add(figures->bytes_in, merged->bytes_in);
    mrd_counter_add(figures->bytes_out, merged->bytes_out);
    mrd_counter_add(figures->blocks_in, merged->blocks_in);
    mrd_counter_add(figures->blocks_out, merged->blocks_out);
    mrd_counter_add(figures->rollups_out, merged->rollups_out);
    mrd_counter_add(figures->tables, merged->tables);
    mrd_counter_add(figures->publish_failures, merged->publish_error.status != MRD_OK);
    mrd_metrics_histogram_observe(figures->seconds, seconds);
    MRD_LOG_INFO(
        "merged blocks", mrd_log_str("to", mrd_upkeep_kind_name(unit->kind)),
        mrd_log_bytes("tenant", unit->tenant), mrd_log_uint("blocks", merged->blocks_in),
        mrd_log_uint("made", merged->blocks_out), mrd_log_uint("rollups", merged->rollups_out),
        mrd_log_uint("samples", merged->samples_in), mrd_log_uint("kept", merged->samples_out),
        mrd_log_uint("erased", merged->erased), mrd_log_uint("rows_erased", merged->rows_erased),
        mrd_log_uint("settled", merged->settled), mrd_log_uint("tables", merged->tables),
        mrd_log_float("seconds", seconds));
    if (merged->publish_error.status != MRD_OK) {
        MRD_LOG_WARN("tables' copies for readers without a catalog are behind",
                     mrd_log_error(&merged->publish_error));
    }
}

/* What came of some units. */
struct outcome {
    bool changed; /* there is something new to plan of */
    bool done;    /* something was committed, or put into quarantine */
};

static enum mrd_status merge_unit(struct cmp_merging *merging, struct view *view,
                                  const struct mrd_upkeep_unit *unit, struct outcome *out,
                                  struct mrd_error *err)
{
    const struct cmp_environment *environment = view->environment;
    struct mrd_upkeep_merge_options options = merging->merge;
    struct mrd_upkeep_tables tables = merging->tables;
    struct mrd_upkeep_merged merged = {0};
    struct mrd_error why = {0};
    const int64_t began_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    tables.store = environment->store;
    tables.control = &environment->control;
    tables.clock = environment->clock;
    options.store = environment->store;
    options.catalog = environment->catalog;
    options.control = &environment->control;
    options.clock = environment->clock;
    options.tables = merging->keeps_tables ? &tables : NULL;
    options.quarantine = view->quarantine;
    options.requests = merging->requests;
    options.retain = view->retain;
    const enum mrd_status status =
        mrd_upkeep_merge(&options, view->state, &view->index, unit, &merged, &why);
    const int64_t took_ns = mrd_clock_monotonic_ns(mrd_clock_system()) - began_ns;
    count(merging, unit, &merged, (double)took_ns / 1e9);
    out->done |= merged.committed || merged.quarantined > 0;
    out->changed |= out->done || merged.lost;
    if (status == MRD_OK || !is_own(status)) {
        return status == MRD_OK ? MRD_OK : mrd_fail(err, status, "%s", why.text);
    }
    note_failed(merging, unit);
    mrd_counter_add(merging->figures.failed, 1);
    MRD_LOG_ERROR("a merge failed and is left alone for ten minutes",
                  mrd_log_str("to", mrd_upkeep_kind_name(unit->kind)),
                  mrd_log_bytes("tenant", unit->tenant),
                  mrd_log_str("status", mrd_status_name(status)), mrd_log_error(&why));
    return MRD_OK;
}

/* ---- a round ---- */

static bool erases(const struct mrd_upkeep_unit *unit)
{
    return unit->kind == MRD_UPKEEP_ERASE || unit->kind == MRD_UPKEEP_RETAIN;
}

/* Units that erase, which are the first, and others take turns: neither waits for all of the other. */
struct turns {
    size_t next[2]; /* of the others, of those that erase */
    size_t end[2];
};

static struct turns turns_of(const struct mrd_upkeep_unit *units, size_t count)
{
    size_t erase = 0;
    while (erase < count && erases(&units[erase])) {
        erase++;
    }
    return (struct turns){
        .next = {erase, 0    },
        .end = {count, erase},
    };
}

/* Whose turn it is; there is one left. */
static size_t next_turn(struct turns *turns, bool erased_last)
{
    size_t kind = erased_last ? 0 : 1;
    kind = turns->next[kind] < turns->end[kind] ? kind : 1 - kind;
    return turns->next[kind]++;
}

/* Does the units that are not leased to others, for a minute or so: then it is time to plan anew, and no unit is begun by a plan that is an eighth of the
 * grace old (erasing.h counts on that). Units of one plan do not
 * touch each other's blocks, mostly; where they do, the later one loses. */
static enum mrd_status do_units(struct cmp_merging *merging, struct view *view,
                                const struct mrd_upkeep_unit *units, size_t unit_count,
                                struct outcome *out, struct mrd_error *err)
{
    const mrd_time_ms grace_ms = mrd_catalog_grace_ms(view->environment->catalog);
    const int64_t until_ns = mrd_clock_monotonic_ns(mrd_clock_system()) +
                             MRD_MIN((mrd_time_ms)PLAN_MS_MAX, grace_ms / PLANS) * 1000000;
    struct turns turns = turns_of(units, unit_count);
    for (size_t i = 0; i < unit_count; i++) {
        struct mrd_lease *lease = NULL;
        const struct mrd_upkeep_unit *unit = &units[next_turn(&turns, merging->erased_last)];
        MRD_TRY(mrd_objstore_check(&view->environment->control, err));
        if (has_failed(merging, unit)) {
            continue;
        }
        MRD_TRY(mrd_lease_try(view->environment->leases, unit->lease, &lease, err));
        if (lease == NULL) {
            continue;
        }
        merging->erased_last = erases(unit);
        const enum mrd_status status = merge_unit(merging, view, unit, out, err);
        mrd_lease_release(&lease);
        MRD_TRY(status);
        if (mrd_clock_monotonic_ns(mrd_clock_system()) > until_ns) {
            break;
        }
    }
    return MRD_OK;
}

/* Those that blocks of the state owe. */
static enum mrd_status load_requests(struct cmp_merging *merging, const struct view *view,
                                     struct mrd_error *err)
{
    const struct cmp_environment *environment = view->environment;
    struct mrd_catalog_requests *requests;
    MRD_TRY(mrd_catalog_requests_load(environment->store, view->state, merging->requests,
                                      &environment->control, &requests, err));
    mrd_catalog_requests_destroy(&merging->requests);
    merging->requests = requests;
    return MRD_OK;
}

static void show_backlog(struct cmp_merging *merging, const struct mrd_catalog_state *state,
                         const struct mrd_upkeep_plan_options *plan)
{
    const struct mrd_upkeep_backlog backlog = mrd_upkeep_backlog(state, plan);
    mrd_gauge_set(merging->figures.backlog_blocks, (int64_t)backlog.blocks);
    mrd_gauge_set(merging->figures.backlog_seconds, (plan->now_ms - backlog.oldest_ms) / 1000);
}

static enum mrd_status look_once(struct cmp_merging *merging,
                                 const struct cmp_environment *environment, struct outcome *out,
                                 struct mrd_error *err)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("plan of merges", PLAN_BYTES_MAX);
    struct mrd_upkeep_quarantine quarantine;
    struct mrd_upkeep_plan_options plan = merging->plan;
    const struct mrd_upkeep_unit *units = NULL;
    size_t unit_count = 0;
    MRD_TRY(look_at_quarantine(merging, environment, arena, &quarantine, err));
    MRD_TRY(mrd_catalog_refresh(environment->catalog, &environment->control, err));
    struct view view = {.environment = environment,
                        .state = mrd_catalog_pin(environment->catalog),
                        .quarantine = &quarantine};
    plan.now_ms = mrd_clock_now_ms(environment->clock);
    plan.quarantine = &quarantine;
    plan.retain = cmp_retaining_begin(merging->retaining, plan.now_ms, merging->resolutions_ms,
                                      merging->merge.resolution_count);
    view.retain = plan.retain;
    const bool wanted = atomic_exchange_explicit(&merging->wanted, false, memory_order_relaxed);
    if (wanted) {
        plan.age_ms_max = 0;
    }
    mrd_upkeep_index_init(&view.index, view.state);
    show_backlog(merging, view.state, &plan);
    enum mrd_status status = load_requests(merging, &view, err);
    if (status == MRD_OK) {
        status = mrd_upkeep_plan(view.state, &view.index, &plan, arena, &units, &unit_count, err);
    }
    if (status == MRD_OK) {
        status = do_units(merging, &view, units, unit_count, out, err);
    }
    cmp_retaining_end(merging->retaining);
    mrd_upkeep_index_fini(&view.index);
    mrd_catalog_unpin(&view.state);
    return status;
}

static enum mrd_status merge_round(void *context, const struct cmp_environment *environment,
                                   struct mrd_error *err)
{
    struct outcome outcome = {.changed = true};
    for (unsigned lost = 0; outcome.changed; lost = outcome.done ? 0 : lost + 1) {
        if (lost == LOST_MAX) {
            MRD_LOG_WARN("merges are lost one after the other: others, or requests to erase, are "
                         "faster; the next round tries again",
                         mrd_log_uint("plans", lost));
            return MRD_OK;
        }
        outcome = (struct outcome){0};
        MRD_TRY(look_once(context, environment, &outcome, err));
    }
    return MRD_OK;
}

struct cmp_role cmp_merging_role(struct cmp_merging *merging)
{
    return (struct cmp_role){.name = CMP_MERGING_ROLE,
                             .interval_ms = merging->interval_ms,
                             .round = merge_round,
                             .context = merging};
}
