#include "blockread/block_source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/threads.h"
#include "blockread/block_picks.h"
#include "blockread/block_rows.h"
#include "blockread/series_ahead_internal.h"
#include "blockread/series_copy.h"
#include "codec/resets.h"
#include "promql/series_merge.h"

enum {
    WINDOW_MIN = 64 * 1024,
    WINDOW_MAX = 8 << 20,
    FETCH_MAX = 32 << 20, /* a round trip to object storage takes as long as some megabytes of it */
    FETCH_NEAR_MAX =
        512 * 1024, /* of rows in a folder: what is read stays in the processors' caches, too */
    ROWS_BATCH_MAX =
        512 * 1024, /* decoded rows are soon read: they stay in the processors' caches */
    MEMORY_DEFAULT = 256 << 20,
    SERIES_BYTES_MAX = 64 << 20, /* of one series, decoded */
    AHEAD_MAX = 64,              /* readers of later partitions that work already */
    WAIT_MS = 20,                /* then a waiting query looks whether it is over */
    PARTS_PER_READER = 3,        /* pages, and two batches of what they say */
    HISTOGRAMS_PER_LOOK = 1024,
    SELECTS_SHARE = 8, /* one in so many bytes of what is left, for a select */
};

/* What a reader has made ready: series in memory of their own, or texts (size-prefixed) for lists. */
struct batch {
    struct mrd_arena *arena;
    struct mrd_block_series *series;
    size_t count;
    size_t capacity;
    bool in_one_piece; /* its memory, but for what came beyond the window */
};

/* One block, for one partition. While `running` it is a pool thread's, but for what the set's lock guards. */
struct reader {
    struct mrd_read_job job; /* first */
    struct mrd_source_set *set;
    const struct mrd_block_entry *entry;
    uint32_t partition;
    struct mrd_block_select select;  /* the set's, without what is to be left out */
    const struct mrd_erasure **left; /* that is; NULL: what the index has of the block */
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    uint64_t bytes_counted;
    struct batch batches[2];
    unsigned filling; /* the batch that is made; the other one is read */
    size_t at;        /* in the batch that is read */
    bool started;     /* the query's */
    bool last;        /* the query's: no batch comes after the one that is read */
    bool ended;       /* no batch comes after the one that was made last */
    enum mrd_status status;
    struct mrd_error err;

    /* guarded by set->lock */
    bool running;
    bool ready; /* a batch was made and waits */
};

struct mrd_source_set {
    struct mrd_block_source *source;
    struct mrd_query_scope scope;
    struct mrd_block_select select;
    struct mrd_bytes texts_of; /* label values: of which label */
    enum what { SERIES_SAMPLES, SERIES_ROWS, SERIES_LABELS, LABEL_NAMES, LABEL_VALUES } what;
    struct mrd_block_rows rows; /* of SERIES_ROWS */
    struct mrd_objstore_control control;
    _Atomic bool canceled;  /* relaxed: tells the readers to stop */
    size_t window;          /* bytes of a batch */
    size_t fetch;           /* of pages that are read at once */
    size_t ahead;           /* readers that may work beyond the present partition */
    size_t memory;          /* that it has of the source's */
    struct reader *readers; /* by partition, the oldest block first */
    size_t reader_count;
    size_t partition_first;         /* the first reader of the present partition */
    size_t reader_at;               /* and of the next one */
    size_t reader_started;          /* those before have been started */
    struct mrd_series_merge *merge; /* of the present partition, or NULL */
    size_t series_count;
    size_t sample_count;

    pthread_mutex_t lock; /* guards the readers' running and ready, and `working` */
    pthread_cond_t changed;
    size_t working; /* readers that are posted or run */
};

/* ---- which blocks, and how much of each at a time ---- */

static void reader_run(struct mrd_read_job *job);

/* Rollups, as they are given. */
static enum mrd_status take_rollups(struct mrd_source_set *set)
{
    set->readers = calloc(MRD_MAX(set->rows.count, (size_t)1), sizeof(*set->readers));
    mrd_assert(set->readers != NULL);
    for (size_t i = 0; i < set->rows.count; i++) {
        set->readers[i] =
            (struct reader){.job.run = reader_run, .set = set, .entry = set->rows.entries[i]};
    }
    set->reader_count = set->rows.count;
    return MRD_OK;
}

static enum mrd_status choose_blocks(struct mrd_source_set *set, struct mrd_error *err)
{
    struct mrd_block_picks picks;
    if (set->what == SERIES_ROWS) {
        return take_rollups(set);
    }
    const bool by_partition = set->what == SERIES_SAMPLES;
    MRD_TRY(mrd_block_picks_make(&set->source->options, &set->select, by_partition,
                                 set->scope.arena, &picks, err));
    const uint64_t tenant = mrd_tenant_seed(set->select.tenant);
    set->readers = calloc(MRD_MAX(picks.count, (size_t)1), sizeof(*set->readers));
    mrd_assert(set->readers != NULL);
    for (size_t i = 0; i < picks.count; i++) {
        set->readers[i] = (struct reader){.job.run = reader_run,
                                          .job.tenant = tenant,
                                          .set = set,
                                          .entry = picks.items[i].entry,
                                          .partition = picks.items[i].partition};
    }
    set->reader_count = picks.count;
    return MRD_OK;
}

static size_t partition_end(const struct mrd_source_set *set, size_t at)
{
    const uint32_t partition = set->readers[at].partition;
    while (at < set->reader_count && set->readers[at].partition == partition) {
        at++;
    }
    return at;
}

/* How many must work at the same time: the readers of a partition are merged, those of lists are read one after the other. */
static size_t most_together(const struct mrd_source_set *set)
{
    size_t most = 0;
    if (set->what != SERIES_SAMPLES && set->what != SERIES_ROWS) {
        return MRD_MIN(set->reader_count, (size_t)1);
    }
    for (size_t at = 0; at < set->reader_count;) {
        const size_t end = partition_end(set, at);
        most = MRD_MAX(most, end - at);
        at = end;
    }
    return most;
}

static size_t memory_max(const struct mrd_block_source_options *options)
{
    return options->memory_max == 0 ? MEMORY_DEFAULT : options->memory_max;
}

/* Divides the memory among the readers that work at the same time: those of a partition, and as many ahead as it does for. */
static enum mrd_status choose_window(struct mrd_source_set *set, struct mrd_error *err)
{
    struct mrd_block_source *source = set->source;
    const size_t most = most_together(set);
    if (most == 0) {
        return MRD_OK;
    }
    const size_t share = (memory_max(&source->options) - source->memory_used) / SELECTS_SHARE;
    const size_t places = share / ((size_t)WINDOW_MIN * PARTS_PER_READER);
    if (places < most) {
        return mrd_fail(
            err, MRD_E_LIMIT,
            "the range needs %zu blocks of one partition, too many for the memory of one "
            "query (querier.memory_bytes_max): ask for a shorter range, or raise it",
            most);
    }
    const size_t others = MRD_MIN(set->reader_count - most, (size_t)AHEAD_MAX);
    set->ahead = MRD_MIN(others, places - most);
    const size_t each = share / (most + set->ahead);
    set->window = MRD_MIN(each / PARTS_PER_READER, (size_t)WINDOW_MAX);
    const bool near = set->what == SERIES_ROWS && mrd_objstore_is_near(source->options.store);
    set->fetch = MRD_MIN(each - (PARTS_PER_READER - 1) * set->window,
                         near ? (size_t)FETCH_NEAR_MAX : (size_t)FETCH_MAX);
    set->memory = (set->fetch + (PARTS_PER_READER - 1) * set->window) * (most + set->ahead);
    source->memory_used += set->memory;
    return MRD_OK;
}

/* ---- a reader's thread ---- */

static enum mrd_status block_open(struct reader *reader, struct mrd_error *err)
{
    const struct mrd_source_set *set = reader->set;
    const struct mrd_block_source_options *options = &set->source->options;
    const struct mrd_block_open_options opening = {.control = &set->control,
                                                   .cache = options->cache,
                                                   .sidecar_bytes_max = memory_max(options)};
    reader->select = set->select;
    if (reader->entry->level > 0 && set->what == SERIES_SAMPLES) {
        reader->select.partition = reader->partition;
        reader->select.partition_count = options->partition_count;
    }
    reader->left =
        mrd_block_left_out(options, reader->entry, set->what == SERIES_ROWS, &reader->select);
    MRD_BLOCK_FIGURE_ADD(options->figures, read, 1);
    MRD_TRY(mrd_block_open(options->store, reader->entry, &opening, &reader->block, err));
    if (set->what == LABEL_NAMES || set->what == LABEL_VALUES) {
        return MRD_OK;
    }
    const struct mrd_block_cursor_options reading = {.window_bytes = set->fetch,
                                                     .series_bytes_max = SERIES_BYTES_MAX,
                                                     .series_max = options->series_max,
                                                     .columns = set->rows.columns,
                                                     .grid = set->rows.grid,
                                                     .edges = set->rows.edges,
                                                     .asked = set->rows.asked,
                                                     .labels_only = set->what == SERIES_LABELS};
    return mrd_block_select(reader->block, &reader->select, &reading, &reader->cursor, err);
}

static struct mrd_block_series *batch_add(struct batch *batch)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity == 0 ? 16 : batch->capacity * 2;
        batch->series = reallocarray(batch->series, batch->capacity, sizeof(*batch->series));
        mrd_assert(batch->series != NULL);
    }
    return &batch->series[batch->count++];
}

static enum mrd_status take_series(const struct reader *reader, struct batch *batch,
                                   const struct mrd_block_series *series, struct mrd_error *err)
{
    struct mrd_block_series *copy = batch_add(batch);
    MRD_TRY(mrd_series_copy(series, batch->arena, copy, err));
    struct mrd_histogram *items = (struct mrd_histogram *)(uintptr_t)copy->histograms.items;
    for (size_t first = 0; first < copy->histograms.count; first += HISTOGRAMS_PER_LOOK) {
        const size_t end = MRD_MIN(first + HISTOGRAMS_PER_LOOK, copy->histograms.count);
        mrd_histograms_find_resets(items, first, end, batch->arena);
        MRD_TRY(mrd_objstore_check(&reader->set->control, err));
    }
    return MRD_OK;
}

static size_t batch_bytes(const struct batch *batch)
{
    return mrd_arena_used(batch->arena) + batch->count * sizeof(*batch->series);
}

static enum mrd_status fill_series(struct reader *reader, struct batch *batch,
                                   struct mrd_error *err)
{
    const uint32_t partitions = reader->set->source->options.partition_count;
    const bool filter = reader->entry->level > 0 && reader->set->what == SERIES_SAMPLES;
    while (batch_bytes(batch) < reader->set->window) {
        const struct mrd_block_series *series = NULL;
        MRD_TRY(mrd_objstore_check(&reader->set->control, err));
        MRD_TRY(mrd_block_cursor_next(reader->cursor, &series, err));
        if (series == NULL) {
            reader->ended = true;
            return MRD_OK;
        }
        if (!filter || mrd_series_partition(series->id, partitions) == reader->partition) {
            MRD_TRY(take_series(reader, batch, series, err));
        }
    }
    return MRD_OK;
}

static size_t rows_batch_max(const struct mrd_source_set *set)
{
    return MRD_MIN(set->window, (size_t)ROWS_BATCH_MAX);
}

static enum mrd_status fill_rows(struct reader *reader, struct batch *batch, struct mrd_error *err)
{
    while (batch_bytes(batch) < rows_batch_max(reader->set)) {
        struct mrd_block_series series;
        bool more = false;
        MRD_TRY(mrd_objstore_check(&reader->set->control, err));
        MRD_TRY(mrd_block_cursor_next_rows(reader->cursor, batch->arena, &series, &more, err));
        if (!more) {
            reader->ended = true;
            return MRD_OK;
        }
        *batch_add(batch) = series;
    }
    return MRD_OK;
}

struct text_visit {
    struct batch *batch;
    bool full;
};

/* A text is kept as a series of one label. */
static bool visit_text(void *context, struct mrd_bytes text)
{
    struct text_visit *visit = context;
    struct mrd_label *item = mrd_arena_alloc(visit->batch->arena, sizeof(*item));
    visit->full = item == NULL;
    if (!visit->full) {
        item->name = mrd_arena_copy(visit->batch->arena, text);
        visit->full = item->name.data == NULL;
        *batch_add(visit->batch) = (struct mrd_block_series){
            .labels = {item, 1}
        };
    }
    return !visit->full;
}

static enum mrd_status fill_texts(struct reader *reader, struct batch *batch, struct mrd_error *err)
{
    const struct mrd_source_set *set = reader->set;
    struct text_visit visit = {.batch = batch};
    reader->ended = true;
    MRD_TRY(set->what == LABEL_NAMES
                ? mrd_block_label_names(reader->block, &reader->select, visit_text, &visit, err)
                : mrd_block_label_values(reader->block, &reader->select, set->texts_of, visit_text,
                                         &visit, err));
    return visit.full ? mrd_arena_fail(batch->arena, err) : MRD_OK;
}

/* Memory for the batch, empty. That of rows is one piece, which the next batches use again. */
static enum mrd_status batch_begin(struct batch *batch, const struct mrd_source_set *set,
                                   struct mrd_error *err)
{
    const bool again = batch->count > 0;
    batch->count = 0;
    if (batch->arena == NULL) {
        batch->arena = mrd_arena_create("block series", set->window + 2 * SERIES_BYTES_MAX);
    }
    if (again && set->what == SERIES_ROWS && !batch->in_one_piece) {
        mrd_arena_destroy(&batch->arena);
        batch->arena = mrd_arena_create("block series", set->window + 2 * SERIES_BYTES_MAX);
        batch->in_one_piece = true;
        if (mrd_arena_alloc_array(batch->arena, 1, rows_batch_max(set)) == NULL) {
            return mrd_arena_fail(batch->arena, err);
        }
    }
    mrd_arena_reset(batch->arena);
    return MRD_OK;
}

static enum mrd_status fill(struct reader *reader, struct mrd_error *err)
{
    const struct mrd_source_set *set = reader->set;
    MRD_TRY(mrd_objstore_check(&set->control, err));
    struct batch *batch = &reader->batches[reader->filling];
    MRD_TRY(batch_begin(batch, set, err));
    if (reader->block == NULL) {
        MRD_TRY(block_open(reader, err));
    }
    switch (set->what) {
    case SERIES_ROWS:
        return fill_rows(reader, batch, err);
    case SERIES_SAMPLES:
    case SERIES_LABELS:
        return fill_series(reader, batch, err);
    case LABEL_NAMES:
    case LABEL_VALUES:
        return fill_texts(reader, batch, err);
    }
    mrd_assert(false);
    return MRD_OK;
}

static void count_bytes(struct reader *reader)
{
    if (reader->cursor != NULL) {
        const uint64_t bytes = mrd_block_cursor_stats(reader->cursor).bytes;
        MRD_BLOCK_FIGURE_ADD(reader->set->source->options.figures, bytes,
                             bytes - reader->bytes_counted);
        reader->bytes_counted = bytes;
    }
}

static void reader_run(struct mrd_read_job *job)
{
    struct reader *reader = (struct reader *)job;
    struct mrd_source_set *set = reader->set;
    reader->status = fill(reader, &reader->err);
    reader->ended |= reader->status != MRD_OK;
    count_bytes(reader);
    pthread_mutex_lock(&set->lock);
    reader->running = false;
    reader->ready = true;
    set->working--;
    pthread_cond_broadcast(&set->changed);
    pthread_mutex_unlock(&set->lock); /* nothing of ours is touched after this */
}

/* ---- the query's thread ---- */

static void reader_start(struct reader *reader)
{
    struct mrd_source_set *set = reader->set;
    pthread_mutex_lock(&set->lock);
    reader->started = true;
    reader->running = true;
    set->working++;
    pthread_mutex_unlock(&set->lock);
    mrd_read_pool_post(set->source->options.pool, &reader->job);
}

static struct mrd_query_progress *progress_of(const struct mrd_source_set *set)
{
    return set->scope.control == NULL ? NULL : set->scope.control->progress;
}

/* Waits until the reader has made a batch. */
static enum mrd_status reader_wait(struct reader *reader, struct mrd_error *err)
{
    struct mrd_source_set *set = reader->set;
    enum mrd_status status = MRD_OK;
    const struct mrd_query_wait wait =
        mrd_query_wait_begin(progress_of(set), MRD_QUERY_WAITS_BLOCKS);
    pthread_mutex_lock(&set->lock);
    while (!reader->ready && status == MRD_OK) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WAIT_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)pthread_cond_timedwait(&set->changed, &set->lock, &until);
        status = mrd_query_check(set->scope.control, err);
    }
    reader->ready = false;
    pthread_mutex_unlock(&set->lock);
    mrd_query_wait_end(progress_of(set), wait);
    return status;
}

/* Storage that fails is no fault of the query: it says which block is missing. */
static enum mrd_status reader_failed(struct reader *reader, struct mrd_error *err)
{
    struct mrd_source_set *set = reader->set;
    const enum mrd_status own = reader->status;
    MRD_TRY(mrd_query_check(set->scope.control, err)); /* its own end comes first */
    if (own == MRD_E_LIMIT || own == MRD_E_INVALID) {
        *err = reader->err;
        return own;
    }
    (void)mrd_fail(err, own == MRD_E_CORRUPT ? MRD_E_CORRUPT : MRD_E_UNAVAILABLE,
                   "block %.*s, which the range needs, cannot be read: %s",
                   MRD_FMT(reader->entry->id), reader->err.text);
    if (!set->source->options.partial || set->scope.annotations == NULL) {
        return err->status;
    }
    char warning[600];
    const int size = snprintf(warning, sizeof(warning), "partial answer: %s", err->text);
    mrd_annotations_add(set->scope.annotations, MRD_ANNOTATION_WARNING,
                        (struct mrd_bytes){(const uint8_t *)warning,
                                           (size_t)MRD_MIN(size, (int)sizeof(warning) - 1)});
    MRD_BLOCK_FIGURE_ADD(set->source->options.figures, missing, 1);
    return MRD_OK;
}

/* Turns to the batch that was made, and has the next one made. */
static enum mrd_status reader_turn(struct reader *reader, struct mrd_error *err)
{
    MRD_TRY(reader_wait(reader, err));
    reader->last = reader->ended;
    reader->filling ^= 1;
    reader->at = 0;
    if (reader->status != MRD_OK) {
        reader->batches[reader->filling ^ 1].count = 0;
        return reader_failed(reader, err);
    }
    if (!reader->last) {
        reader_start(reader);
    }
    return MRD_OK;
}

/* The next series of a reader that was started, NULL at its end. */
static enum mrd_status reader_next(struct reader *reader, const struct mrd_block_series **out,
                                   struct mrd_error *err)
{
    mrd_assert(reader->started);
    while (reader->at == reader->batches[reader->filling ^ 1].count) {
        if (reader->last) {
            *out = NULL;
            return MRD_OK;
        }
        MRD_TRY(reader_turn(reader, err));
    }
    const struct batch *batch = &reader->batches[reader->filling ^ 1];
    *out = &batch->series[reader->at++];
    if ((*out)->rows != NULL) {
        mrd_series_ahead(*out, reader->at < batch->count ? *out + 1 : *out);
    }
    return MRD_OK;
}

static enum mrd_status input_next(struct mrd_source_set *input, struct mrd_source_series *out,
                                  bool *out_more, struct mrd_error *err)
{
    struct reader *reader = (struct reader *)(void *)input;
    const struct mrd_block_series *series;
    MRD_TRY(reader_next(reader, &series, err));
    *out_more = series != NULL;
    if (series != NULL) {
        *out = (struct mrd_source_series){.labels = series->labels,
                                          .samples = series->samples,
                                          .histograms = series->histograms,
                                          .segment = reader->partition};
    }
    return MRD_OK;
}

static void input_close(struct mrd_source_set *input) { (void)input; /* the set closes readers */ }

static void reader_fini(struct reader *reader)
{
    mrd_block_cursor_close(&reader->cursor);
    mrd_block_close(&reader->block);
    free((void *)reader->left);
    reader->left = NULL;
    for (size_t i = 0; i < MRD_ARRAY_LEN(reader->batches); i++) {
        mrd_arena_destroy(&reader->batches[i].arena);
        free(reader->batches[i].series);
        reader->batches[i] = (struct batch){0};
    }
}

static void start_ahead(struct mrd_source_set *set, size_t end)
{
    const size_t until = MRD_MIN(set->reader_count, end + set->ahead);
    for (; set->reader_started < until; set->reader_started++) {
        reader_start(&set->readers[set->reader_started]);
    }
}

/* Begins the next partition; what is read of later ones has begun, too. */
static void begin_partition(struct mrd_source_set *set)
{
    const size_t first = set->reader_at;
    const size_t end = partition_end(set, first);
    struct mrd_series_input *inputs = calloc(end - first, sizeof(*inputs));
    mrd_assert(inputs != NULL);
    for (size_t i = first; i < end; i++) {
        inputs[i - first] = (struct mrd_series_input){
            (struct mrd_source_set *)(void *)&set->readers[i], input_next, input_close};
    }
    start_ahead(set, end);
    set->merge = mrd_series_merge_create(
        inputs, end - first,
        &(struct mrd_series_merge_options){.samples_max = set->source->options.samples_max,
                                           .look = mrd_query_look(set->scope.control),
                                           .find_resets = mrd_histograms_find_resets});
    set->partition_first = first;
    set->reader_at = end;
    free(inputs);
}

static void end_partition(struct mrd_source_set *set)
{
    mrd_series_merge_destroy(&set->merge);
    for (size_t i = set->partition_first; i < set->reader_at; i++) {
        reader_fini(&set->readers[i]);
    }
}

static enum mrd_status count_series(struct mrd_source_set *set,
                                    const struct mrd_source_series *series, struct mrd_error *err)
{
    const struct mrd_block_source_options *options = &set->source->options;
    set->series_count++;
    set->sample_count += series->samples.count + series->histograms.count;
    if (options->series_max != 0 && set->series_count > options->series_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a selector finds more than %zu series (querier.series_max)",
                        options->series_max);
    }
    if (options->samples_max != 0 && set->sample_count > options->samples_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a selector finds more than %zu samples (querier.samples_max)",
                        options->samples_max);
    }
    return MRD_OK;
}

static enum mrd_status set_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                bool *out_more, struct mrd_error *err)
{
    for (;;) {
        if (set->merge == NULL) {
            *out_more = set->reader_at < set->reader_count;
            if (!*out_more) {
                return MRD_OK;
            }
            begin_partition(set);
        }
        MRD_TRY(mrd_series_merge_next(set->merge, out, out_more, err));
        if (*out_more) {
            return count_series(set, out, err);
        }
        end_partition(set);
    }
}

static void set_close(struct mrd_source_set *set)
{
    atomic_store_explicit(&set->canceled, true, memory_order_relaxed);
    mrd_series_merge_destroy(&set->merge);
    pthread_mutex_lock(&set->lock);
    while (set->working > 0) {
        pthread_cond_wait(&set->changed, &set->lock);
    }
    pthread_mutex_unlock(&set->lock);
    for (size_t i = 0; i < set->reader_count; i++) {
        reader_fini(&set->readers[i]);
    }
    set->source->memory_used -= set->memory;
    pthread_cond_destroy(&set->changed);
    pthread_mutex_destroy(&set->lock);
    free(set->readers);
    free(set);
}

/* A set over the blocks that the select needs; their reading begins when it is asked for, or at once with `begin`. */
static enum mrd_status set_create(struct mrd_block_source *source,
                                  const struct mrd_block_select *select, enum what what,
                                  const struct mrd_block_rows *rows,
                                  const struct mrd_query_scope *scope,
                                  struct mrd_source_set **out_set, struct mrd_error *err)
{
    struct mrd_source_set *set = calloc(1, sizeof(*set));
    mrd_assert(set != NULL);
    *set =
        (struct mrd_source_set){.source = source, .scope = *scope, .select = *select, .what = what};
    if (rows != NULL) {
        set->rows = *rows;
    }
    set->control.canceled = &set->canceled;
    if (scope->control != NULL) {
        set->control.clock = scope->control->clock;
        set->control.deadline_ns = scope->control->deadline_ns;
    }
    pthread_mutex_init(&set->lock, NULL);
    mrd_cond_init(&set->changed);
    enum mrd_status status = choose_blocks(set, err);
    if (status == MRD_OK) {
        status = choose_window(set, err);
    }
    if (status != MRD_OK) {
        set_close(set);
        return status;
    }
    if (progress_of(set) != NULL) {
        mrd_progress_add(&progress_of(set)->blocks, set->reader_count);
    }
    *out_set = set;
    return MRD_OK;
}

static enum mrd_status source_open(void *context, const struct mrd_select *select,
                                   const struct mrd_query_scope *scope,
                                   struct mrd_source_set **out_set, struct mrd_error *err)
{
    struct mrd_block_source *source = context;
    const mrd_time_ms floor_ms = source->options.floor_ms;
    const mrd_time_ms from_ms = mrd_time_earlier(select->min_ms, select->histograms_before_ms);
    struct mrd_block_select blocks = {.tenant = source->options.tenant,
                                      .matchers = select->matchers,
                                      .matcher_count = select->matcher_count,
                                      .min_ms = MRD_MAX(select->min_ms, floor_ms),
                                      .max_ms = select->max_ms};
    blocks.histograms_before_ms = blocks.min_ms - MRD_MAX(from_ms, floor_ms);
    MRD_TRY(set_create(source, &blocks, SERIES_SAMPLES, NULL, scope, out_set, err));
    start_ahead(*out_set, (*out_set)->reader_count > 0 ? partition_end(*out_set, 0) : 0);
    return MRD_OK;
}

/* ---- rows of rollups ---- */

enum mrd_status mrd_block_rows_open(struct mrd_block_source *source,
                                    const struct mrd_block_rows *rows,
                                    const struct mrd_select *select,
                                    const struct mrd_query_scope *scope,
                                    struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct mrd_block_select blocks = {.tenant = source->options.tenant,
                                            .matchers = select->matchers,
                                            .matcher_count = select->matcher_count,
                                            .min_ms = select->min_ms,
                                            .max_ms = select->max_ms};
    MRD_TRY(set_create(source, &blocks, SERIES_ROWS, rows, scope, out_set, err));
    start_ahead(*out_set, (*out_set)->reader_count);
    return MRD_OK;
}

enum mrd_status mrd_block_rows_next(struct mrd_source_set *set, size_t index,
                                    const struct mrd_block_series **out, struct mrd_error *err)
{
    return reader_next(&set->readers[index], out, err);
}

void mrd_block_rows_close(struct mrd_source_set *set) { set_close(set); }

/* ---- names, values and series for the API ---- */

enum { GATHER_UNITS = 16 /* of a text or label set that is copied, in those of mrd_pace */ };

struct gather {
    struct mrd_arena *arena;
    const struct mrd_query_control *control;
    struct mrd_buf items; /* struct mrd_bytes, or struct mrd_labels */
};

static enum mrd_status gather_text(struct gather *gather, const struct mrd_block_series *series,
                                   struct mrd_error *err)
{
    const struct mrd_bytes text = mrd_arena_copy(gather->arena, series->labels.items[0].name);
    if (text.data == NULL) {
        return mrd_arena_fail(gather->arena, err);
    }
    mrd_buf_append(&gather->items, &text, sizeof(text));
    return MRD_OK;
}

static enum mrd_status gather_labels(struct gather *gather, const struct mrd_block_series *series,
                                     struct mrd_error *err)
{
    struct mrd_block_series copy;
    const struct mrd_block_series labels = {.labels = series->labels};
    MRD_TRY(mrd_series_copy(&labels, gather->arena, &copy, err));
    mrd_buf_append(&gather->items, &copy.labels, sizeof(copy.labels));
    return MRD_OK;
}

static int compare_texts(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static int compare_label_sets(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_labels_compare(*(const struct mrd_labels *)a, *(const struct mrd_labels *)b);
}

/* Sorts the items and takes doubles out; so memory is that of different ones, and of one block's. */
static enum mrd_status gather_tidy(struct gather *gather, size_t size, mrd_order *compare,
                                   struct mrd_error *err)
{
    const struct mrd_look look = mrd_query_look(gather->control);
    const size_t total = gather->items.size / size;
    size_t kept = 0;
    if (total == 0) {
        return MRD_OK;
    }
    MRD_TRY(mrd_sort(gather->items.data, total, size, compare, NULL, &look, err));
    struct mrd_pace pace = {.look = &look};
    for (size_t i = 1; i < total; i++) {
        MRD_TRY(mrd_pace(&pace, 4, err));
        if (compare(gather->items.data + kept * size, gather->items.data + i * size, NULL) != 0) {
            memmove(gather->items.data + ++kept * size, gather->items.data + i * size, size);
        }
    }
    gather->items.size = (kept + 1) * size;
    return MRD_OK;
}

static enum mrd_status gather_set(struct gather *gather, struct mrd_source_set *set, size_t size,
                                  mrd_order *compare, struct mrd_error *err)
{
    const struct mrd_look look = mrd_query_look(gather->control);
    struct mrd_pace pace = {.look = &look};
    for (size_t i = 0; i < set->reader_count; i++) {
        start_ahead(set, i + 1);
        for (;;) {
            const struct mrd_block_series *series;
            MRD_TRY(reader_next(&set->readers[i], &series, err));
            if (series == NULL) {
                break;
            }
            MRD_TRY(mrd_pace(&pace, GATHER_UNITS, err));
            MRD_TRY(set->what != SERIES_LABELS ? gather_text(gather, series, err)
                                               : gather_labels(gather, series, err));
            if (gather->items.failed) {
                return mrd_arena_fail(gather->arena, err);
            }
        }
        MRD_TRY(gather_tidy(gather, size, compare, err));
        reader_fini(&set->readers[i]);
    }
    return MRD_OK;
}

/* Asks once per matcher set (or once for all series): the answers are a union. */
static enum mrd_status gather_all(struct mrd_block_source *source, struct gather *gather,
                                  const struct mrd_label_query *query, enum what what,
                                  struct mrd_bytes texts_of, const struct mrd_query_scope *scope,
                                  struct mrd_error *err)
{
    const bool labels = what == SERIES_LABELS;
    const size_t asks = MRD_MAX(query->matcher_set_count, (size_t)1);
    for (size_t i = 0; i < asks; i++) {
        struct mrd_source_set *set = NULL;
        const bool all = query->matcher_set_count == 0;
        const struct mrd_block_select select = {
            .tenant = source->options.tenant,
            .matchers = all ? NULL : query->matcher_sets[i],
            .matcher_count = all ? 0 : query->matcher_counts[i],
            .min_ms = MRD_MAX(query->min_ms, source->options.floor_ms),
            .max_ms = query->max_ms,
        };
        MRD_TRY(set_create(source, &select, what, NULL, scope, &set, err));
        set->texts_of = texts_of;
        const enum mrd_status status =
            gather_set(gather, set, labels ? sizeof(struct mrd_labels) : sizeof(struct mrd_bytes),
                       labels ? compare_label_sets : compare_texts, err);
        set_close(set);
        MRD_TRY(status);
    }
    return MRD_OK;
}

static enum mrd_status finish(struct gather *gather, size_t size, size_t limit, const void **out,
                              size_t *out_count, bool *out_truncated, struct mrd_error *err)
{
    const size_t total = gather->items.size / size;
    *out_truncated = limit != 0 && total > limit;
    *out_count = *out_truncated ? limit : total;
    const struct mrd_bytes copy =
        mrd_arena_copy(gather->arena, (struct mrd_bytes){gather->items.data, *out_count * size});
    *out = copy.data;
    return copy.data == NULL ? mrd_arena_fail(gather->arena, err) : MRD_OK;
}

static enum mrd_status list_texts(struct mrd_block_source *source,
                                  const struct mrd_label_query *query, enum what what,
                                  struct mrd_bytes texts_of, const struct mrd_query_scope *scope,
                                  struct mrd_texts *out, struct mrd_error *err)
{
    struct gather gather = {.arena = scope->arena, .control = scope->control};
    const void *items = NULL;
    mrd_buf_init(&gather.items, mrd_arena_limit(scope->arena));
    enum mrd_status status = gather_all(source, &gather, query, what, texts_of, scope, err);
    if (status == MRD_OK) {
        status = finish(&gather, sizeof(struct mrd_bytes), query->limit, &items, &out->count,
                        &out->truncated, err);
        out->items = items;
    }
    mrd_buf_fini(&gather.items);
    return status;
}

static enum mrd_status source_label_names(void *context, const struct mrd_label_query *query,
                                          const struct mrd_query_scope *scope,
                                          struct mrd_texts *out, struct mrd_error *err)
{
    return list_texts(context, query, LABEL_NAMES, MRD_BYTES_NONE, scope, out, err);
}

static enum mrd_status source_label_values(void *context, struct mrd_bytes name,
                                           const struct mrd_label_query *query,
                                           const struct mrd_query_scope *scope,
                                           struct mrd_texts *out, struct mrd_error *err)
{
    return list_texts(context, query, LABEL_VALUES, name, scope, out, err);
}

static enum mrd_status source_series(void *context, const struct mrd_label_query *query,
                                     const struct mrd_query_scope *scope,
                                     struct mrd_label_sets *out, struct mrd_error *err)
{
    struct gather gather = {.arena = scope->arena, .control = scope->control};
    const void *items = NULL;
    mrd_buf_init(&gather.items, mrd_arena_limit(scope->arena));
    enum mrd_status status =
        gather_all(context, &gather, query, SERIES_LABELS, MRD_BYTES_NONE, scope, err);
    if (status == MRD_OK) {
        status = finish(&gather, sizeof(struct mrd_labels), query->limit, &items, &out->count,
                        &out->truncated, err);
        out->items = items;
    }
    mrd_buf_fini(&gather.items);
    return status;
}

struct mrd_source mrd_block_source_get(struct mrd_block_source *source)
{
    return (struct mrd_source){
        .context = source,
        .open = source_open,
        .next = set_next,
        .close = set_close,
        .label_names = source_label_names,
        .label_values = source_label_values,
        .series = source_series,
    };
}
