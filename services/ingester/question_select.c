#include "base/threads.h"
#include "codec/frame.h"
#include "ingester/questions_internal.h"

enum { SLICE_BYTES = 192 * 1024 /* a slice passes this by one series at most */ };

/* ---- sending ---- */

/* A series too large for a part: frames with the same labels, their chunks in order. */
static enum mrd_status series_split(struct ing_question *question, struct mrd_frame *frame,
                                    struct mrd_error *err)
{
    const size_t limit = ing_question_data_max(question);
    struct mrd_buf piece = {0};
    struct mrd_buf chunks = {0};
    uint32_t count = 0;
    enum mrd_status status = MRD_OK;
    struct mrd_chunk chunk;
    bool more = mrd_frame_read_chunk(frame, &chunk);
    while (more && status == MRD_OK) {
        mrd_frame_write_chunk(&chunks, &chunk);
        count++;
        more = mrd_frame_read_chunk(frame, &chunk);
        if (!more || chunks.size + chunk.bytes.size + frame->labels.size + 64 > limit) {
            mrd_frame_write_head(&piece, frame->labels, count);
            mrd_buf_append_bytes(&piece, mrd_buf_view(&chunks));
            status = ing_question_data(question, mrd_buf_view(&piece), err);
            mrd_buf_clear(&piece);
            mrd_buf_clear(&chunks);
            count = 0;
        }
    }
    mrd_buf_fini(&piece);
    mrd_buf_fini(&chunks);
    return status;
}

/* Sends a slice that does not fit into a part: as many whole series at a time as do. */
static enum mrd_status frames_split(struct ing_question *question, struct mrd_bytes frames,
                                    struct mrd_error *err)
{
    const size_t limit = ing_question_data_max(question);
    struct mrd_reader reader = mrd_reader_of(frames);
    const uint8_t *start = reader.at;
    while (mrd_reader_left(&reader) > 0) {
        const uint8_t *before = reader.at;
        struct mrd_frame frame;
        MRD_TRY(mrd_frame_read(&reader, &frame, err));
        if ((size_t)(reader.at - start) <= limit) {
            continue;
        }
        if (before > start) {
            MRD_TRY(ing_question_data(question, (struct mrd_bytes){start, (size_t)(before - start)},
                                      err));
        }
        start = before;
        if ((size_t)(reader.at - start) > limit) {
            MRD_TRY(series_split(question, &frame, err));
            start = reader.at;
        }
    }
    return reader.at > start
               ? ing_question_data(question, (struct mrd_bytes){start, (size_t)(reader.at - start)},
                                   err)
               : MRD_OK;
}

static enum mrd_status slice_send(struct ing_question *question,
                                  const struct mrd_head_selection *selection, struct mrd_error *err)
{
    question->trailer.series += selection->series_count;
    question->trailer.chunks += selection->chunk_count;
    question->trailer.samples += selection->sample_count;
    const struct mrd_bytes frames = mrd_buf_view(&selection->frames);
    return frames.size <= ing_question_data_max(question) ? ing_question_data(question, frames, err)
                                                          : frames_split(question, frames, err);
}

/* ---- selecting ---- */

/* Wherever a long ask of this question may be interrupted, in the shard's place. */
static enum mrd_status pause_run(void *context, struct mrd_error *err)
{
    const struct ing_question *question = context;
    ing_partition_let_urgent(ing_question_partition(question));
    if (question->background) {
        ing_partition_stand_back(ing_question_partition(question));
    }
    return mrd_rpc_call_check(question->call, err);
}

struct mrd_head_pause ing_question_pause(struct ing_question *question)
{
    return (struct mrd_head_pause){.run = pause_run, .context = question};
}

struct mrd_head_query ing_question_head_query(struct ing_question *question)
{
    const struct mrd_query_request *request = &question->request;
    return (struct mrd_head_query){
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .time_min_ms = request->time_min_ms,
        .time_max_ms = request->time_max_ms,
        .histograms_before_ms = request->histograms_before_ms,
        .series_max = request->series_max,
        .samples_max = request->samples_max,
        .labels_only = request->kind == MRD_QUERY_SERIES,
        .in_order = request->in_order,
        .pause = ing_question_pause(question),
    };
}

/* On the shard: opens the cursor the first time, makes a slice, closes after the last one. */
static enum mrd_status select_run(struct ing_ask *base, struct mrd_head *head,
                                  struct mrd_error *err)
{
    struct ing_slices *ask = (struct ing_slices *)base;
    if (!ask->begun) {
        const enum mrd_status status = mrd_head_select(head, &ask->query, &ask->cursor, err);
        ask->unsorted = status == MRD_E_UNAVAILABLE && ask->query.beside;
        ask->begun = !ask->unsorted;
        MRD_TRY(status);
    }
    MRD_TRY(mrd_head_cursor_next(ask->cursor, SLICE_BYTES, &ask->selection, err));
    if (mrd_head_cursor_at_end(ask->cursor)) {
        mrd_head_cursor_destroy(&ask->cursor);
    }
    return MRD_OK;
}

struct small_look {
    struct ing_look look; /* first */
    struct ing_slices *slices;
};

static void small_run(struct ing_look *base, struct mrd_head *head)
{
    struct ing_slices *slices = ((struct small_look *)base)->slices;
    slices->begun = mrd_head_select_small(head, &slices->query, SLICE_BYTES, &slices->selection);
}

/* A small answer is read here and now, whoever has the shard, even if that is long work that has no core at the moment. In the
 * background this thread might be the one without a core, and keep what is written waiting. */
static bool read_small(struct ing_question *question, struct ing_slices *slices)
{
    struct small_look look = {.look.look = small_run, .slices = slices};
    return !slices->begun && !mrd_thread_in_background() &&
           ing_partition_try_read(ing_question_partition(question), &look.look) && slices->begun;
}

enum mrd_status ing_slices_next(struct ing_question *question, struct ing_slices *slices,
                                struct mrd_error *err)
{
    mrd_head_selection_destroy(&slices->selection);
    if (read_small(question, slices)) {
        return MRD_OK;
    }
    if (slices->begun && slices->cursor == NULL) {
        return MRD_OK;
    }
    slices->ask = (struct ing_ask){
        .run = select_run, .look = ing_question_look(question), .reads = true, .shared = true};
    slices->query.beside = true;
    enum mrd_status status = ing_partition_ask(ing_question_partition(question), &slices->ask, err);
    if (slices->unsorted) {
        slices->unsorted = false;
        slices->query.beside = false;
        slices->ask.shared = false;
        status = ing_partition_ask(ing_question_partition(question), &slices->ask, err);
    }
    return status;
}

void ing_slices_close(struct ing_question *question, struct ing_slices *slices)
{
    mrd_head_selection_destroy(&slices->selection);
    if (slices->cursor != NULL) { /* ended early */
        ing_partition_cursor_close(ing_question_partition(question), &slices->cursor);
    }
}

static enum mrd_status select_slices(struct ing_question *question, struct ing_slices *slices,
                                     struct mrd_error *err)
{
    for (;;) {
        MRD_TRY(ing_slices_next(question, slices, err));
        if (slices->selection != NULL) {
            MRD_TRY(slice_send(question, slices->selection, err));
        }
        if (slices->cursor == NULL) {
            return MRD_OK;
        }
        MRD_TRY(ing_question_pace(question, err));
    }
}

enum mrd_status ing_question_select(struct ing_question *question, struct mrd_error *err)
{
    struct ing_slices slices = {.query = ing_question_head_query(question)};
    const enum mrd_status status = select_slices(question, &slices, err);
    ing_slices_close(question, &slices);
    return status;
}
