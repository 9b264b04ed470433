#include <stdlib.h>

#include "promql/fragment.h"
#include "querier/remote_ask.h"
#include "querier/remote_source_internal.h"

enum {
    FRAGMENT_BYTES_MAX = 256 * 1024 /* a longer query has other costs than those of its series */
};

struct qry_fragment_set {
    const struct qry_remote *remote;
    const struct mrd_select *select;
    struct mrd_query_scope scope;
    struct mrd_buf bytes;  /* the fragment */
    struct mrd_buf states; /* of the partition at hand */
    struct qry_fanout *fanout;
    uint32_t partition; /* the first one whose states were not handed out */
    uint64_t series_count;
    uint64_t sample_count;
    struct mrd_source_set *local; /* series of the partitions that are evaluated here; NULL: none */
};

void qry_fragment_close(struct qry_fragment_set **fragment)
{
    if (*fragment == NULL) {
        return;
    }
    struct qry_fragment_set *set = MRD_MOVE(*fragment);
    qry_fanout_destroy(&set->fanout);
    if (set->local != NULL) {
        qry_set_close(set->local);
    }
    mrd_buf_fini(&set->bytes);
    mrd_buf_fini(&set->states);
    free(set);
}

static size_t memory_left(const struct qry_fragment_set *fragment)
{
    const size_t limit = mrd_arena_limit(fragment->scope.arena);
    return limit - MRD_MIN(mrd_arena_used(fragment->scope.arena), limit - 1);
}

static enum mrd_status ask(struct qry_fragment_set *fragment, struct mrd_error *err)
{
    const struct qry_remote_options *options = &fragment->remote->options;
    const struct mrd_query_request request = {
        .kind = MRD_QUERY_FRAGMENT,
        .in_order = options->in_order,
        .tenant = options->tenant,
        .time_min_ms = qry_remote_min_ms(fragment->remote, fragment->select),
        .time_max_ms = fragment->select->max_ms,
        .histograms_before_ms = qry_remote_before_ms(fragment->remote, fragment->select),
        .series_max = options->series_max,
        .samples_max = options->samples_max,
        .memory_max = mrd_arena_limit(fragment->scope.arena),
        .fragment = mrd_buf_view(&fragment->bytes),
    };
    const struct qry_fanout_options fanout =
        qry_remote_fanout(fragment->remote, &request, &fragment->scope);
    return qry_fanout_create(&fanout, &fragment->fanout, err);
}

enum mrd_status qry_fragment_open(void *context, const struct mrd_select *select,
                                  const struct mrd_fragment *fragment,
                                  const struct mrd_query_scope *scope,
                                  struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct qry_remote *remote = context;
    if (!remote->options.push_down || fragment->request.text.size > FRAGMENT_BYTES_MAX) {
        return MRD_OK;
    }
    struct mrd_source_set *set = calloc(1, sizeof(*set));
    struct qry_fragment_set *made = calloc(1, sizeof(*made));
    mrd_assert(set != NULL && made != NULL);
    *made = (struct qry_fragment_set){.remote = remote, .select = select, .scope = *scope};
    set->fragment = made;
    mrd_fragment_encode(fragment, &made->bytes);
    mrd_buf_init(&made->states, memory_left(made));
    mrd_counter_add(remote->options.cluster->selects_pushed, 1);
    if (scope->control->progress != NULL) {
        mrd_progress_add(&scope->control->progress->fragments, 1);
    }
    const enum mrd_status status = ask(made, err);
    if (status != MRD_OK) {
        qry_set_close(set);
        return status;
    }
    *out_set = set;
    return MRD_OK;
}

/* ---- states of ingesters ---- */

/* What ingesters have counted is bounded as if it had been read here. */
static enum mrd_status count_series(struct qry_fragment_set *fragment, struct mrd_bytes bytes,
                                    struct mrd_error *err)
{
    const struct qry_remote_options *options = &fragment->remote->options;
    struct mrd_query_trailer trailer;
    MRD_TRY(mrd_query_trailer_decode(bytes, &trailer, err));
    fragment->series_count += trailer.series;
    fragment->sample_count += trailer.samples;
    if (options->series_max != 0 && fragment->series_count > options->series_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a selector finds more than %zu series (querier.series_max)",
                        options->series_max);
    }
    if (options->samples_max != 0 && fragment->sample_count > options->samples_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a selector finds more than %zu samples, each 16 bytes of a histogram "
                        "counted as one (querier.samples_max)",
                        options->samples_max);
    }
    return MRD_OK;
}

/* Gathers the states of the next partition that has not been left out. *out_limit: what went wrong is a bound of this query. */
static enum mrd_status next_of_fanout(struct qry_fragment_set *fragment, struct mrd_bytes *out,
                                      bool *out_more, bool *out_final, struct mrd_error *err)
{
    mrd_buf_clear(&fragment->states);
    *out_final = false;
    for (;;) {
        struct qry_fanout_event event;
        MRD_TRY(qry_fanout_next(fragment->fanout, &event, err));
        switch (event.kind) {
        case QRY_FANOUT_CHUNK:
            mrd_buf_append_bytes(&fragment->states, event.bytes);
            if (fragment->states.failed) {
                *out_final = true;
                return mrd_arena_fail(fragment->scope.arena, err);
            }
            break;
        case QRY_FANOUT_RESTART:
            mrd_buf_clear(&fragment->states);
            break;
        case QRY_FANOUT_PARTITION:
            fragment->partition = event.partition + 1;
            if (event.bytes.size > 0) {
                *out_final = true;
                MRD_TRY(count_series(fragment, event.bytes, err));
                *out = mrd_buf_view(&fragment->states);
                *out_more = true;
                return MRD_OK;
            }
            mrd_buf_clear(&fragment->states); /* it was left out, with a warning */
            break;
        case QRY_FANOUT_END:
            *out_more = false;
            return MRD_OK;
        }
    }
}

/* ---- evaluating here what an ingester does not ---- */

/* Time is up or nobody is there, or the query itself is at fault: that would be no better with a select. */
static bool is_final(enum mrd_status status)
{
    return status == MRD_E_UNAVAILABLE || status == MRD_E_TIMEOUT || status == MRD_E_CANCELED ||
           status == MRD_E_INVALID;
}

static enum mrd_status local_open(void *context, const struct mrd_select *select,
                                  const struct mrd_query_scope *scope,
                                  struct mrd_source_set **out_set, struct mrd_error *err)
{
    (void)select; /* the same as when it was opened for all partitions */
    (void)scope;
    (void)err;
    *out_set = context;
    return MRD_OK;
}

static void local_close(struct mrd_source_set *set)
{
    (void)set; /* it goes on with the next partition */
}

/* The partitions that are left are selected. */
static enum mrd_status begin_local(struct qry_fragment_set *fragment, struct mrd_error *err)
{
    mrd_counter_add(fragment->remote->options.cluster->fragments_refused, 1);
    qry_fanout_destroy(&fragment->fanout);
    MRD_TRY(qry_set_open(fragment->remote, fragment->select, &fragment->scope, fragment->partition,
                         &fragment->local, err));
    fragment->local->stops_at_partitions = true;
    fragment->local->series_count = fragment->series_count;
    fragment->local->sample_count = fragment->sample_count;
    return MRD_OK;
}

static enum mrd_status next_of_local(struct qry_fragment_set *fragment, struct mrd_bytes *out,
                                     bool *out_more, struct mrd_error *err)
{
    const struct mrd_source source = {
        .context = fragment->local, .open = local_open, .next = qry_set_next, .close = local_close};
    struct mrd_fragment decoded;
    *out_more = fragment->partition < fragment->remote->options.cluster->partition_count;
    if (!*out_more) {
        return MRD_OK;
    }
    fragment->partition++;
    mrd_buf_clear(&fragment->states);
    MRD_TRY(mrd_fragment_decode(mrd_buf_view(&fragment->bytes), &decoded, err));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", memory_left(fragment));
    MRD_TRY(mrd_fragment_run(&decoded, &source, fragment->scope.control, arena, &fragment->states,
                             err));
    *out = mrd_buf_view(&fragment->states);
    return MRD_OK;
}

enum mrd_status qry_fragment_next(struct mrd_source_set *set, struct mrd_bytes *out, bool *out_more,
                                  struct mrd_error *err)
{
    struct qry_fragment_set *fragment = set->fragment;
    bool final = false;
    if (fragment->local == NULL) {
        const enum mrd_status status = next_of_fanout(fragment, out, out_more, &final, err);
        if (status == MRD_OK || final || is_final(status)) {
            return status;
        }
        MRD_TRY(begin_local(fragment, err));
    }
    return next_of_local(fragment, out, out_more, err);
}
