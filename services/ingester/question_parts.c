#include "base/threads.h"
#include "ingester/questions_internal.h"

enum {
    SMALL_MS = 1,             /* of work: beyond, a question is large */
    DIRECT_BYTES = 64 * 1024, /* more is not copied into the chunk first */
    END_BYTES = 112,          /* of an END part with its trailer */
    FAILED_BYTES = 560,       /* of a FAILED part with its text */
};

static size_t chunk_bytes_max(const struct ing_question *question)
{
    const int64_t payload_max = mrd_bus_payload_max(question->options->bus);
    const int64_t room = payload_max - MRD_RPC_FRAME_BYTES - 1024;
    return room < MRD_RPC_CHUNK_BYTES ? (size_t)MRD_MAX(room, (int64_t)1024)
                                      : (size_t)MRD_RPC_CHUNK_BYTES;
}

size_t ing_question_data_max(const struct ing_question *question)
{
    return chunk_bytes_max(question) - MRD_QUERY_PART_HEAD_MAX;
}

static enum mrd_status out_send(struct ing_question *question, struct mrd_bytes more,
                                struct mrd_error *err)
{
    const enum mrd_status status =
        mrd_rpc_call_send_joined(question->call, mrd_buf_view(&question->out), more, err);
    mrd_buf_clear(&question->out);
    return status;
}

/* Sends what is gathered if `size` more bytes would be too many. */
static enum mrd_status room_make(struct ing_question *question, size_t size, struct mrd_error *err)
{
    return question->out.size > 0 && question->out.size + size > chunk_bytes_max(question)
               ? out_send(question, MRD_BYTES_NONE, err)
               : MRD_OK;
}

/* The question is large: the partitions that were not begun are to be asked for by themselves. */
static enum mrd_status become_large(struct ing_question *question, struct mrd_error *err)
{
    for (size_t i = question->at + 1; i < question->request.partition_count && !question->large;
         i++) {
        if (question->partitions[i] != NULL) {
            ing_question_give_back(question, i);
            MRD_TRY(room_make(question, MRD_QUERY_PART_HEAD_MAX, err));
            mrd_query_part_alone(&question->out, question->request.partitions[i].number);
        }
    }
    question->large = true;
    return MRD_OK;
}

static uint32_t present_number(const struct ing_question *question)
{
    return question->request.partitions[question->at].number;
}

enum mrd_status ing_question_data(struct ing_question *question, struct mrd_bytes data,
                                  struct mrd_error *err)
{
    const size_t size = MRD_QUERY_PART_HEAD_MAX + data.size;
    const bool direct = data.size > DIRECT_BYTES;
    if (direct || question->out.size + size > chunk_bytes_max(question)) {
        MRD_TRY(become_large(question, err)); /* a chunk goes out before the answer is complete */
        MRD_TRY(room_make(question, size, err));
    }
    if (!direct) {
        mrd_query_part_data(&question->out, present_number(question), data);
        return MRD_OK;
    }
    mrd_query_part_data_head(&question->out, present_number(question), data.size);
    return out_send(question, data, err);
}

enum mrd_status ing_question_end(struct ing_question *question, struct mrd_error *err)
{
    MRD_TRY(room_make(question, END_BYTES, err));
    mrd_query_part_end(&question->out, present_number(question), &question->trailer);
    return MRD_OK;
}

enum mrd_status ing_question_failed(struct ing_question *question, uint32_t number,
                                    const struct mrd_error *error, struct mrd_error *err)
{
    MRD_TRY(room_make(question, FAILED_BYTES, err));
    mrd_query_part_failed(&question->out, number, error->status, mrd_bytes_of(error->text));
    return MRD_OK;
}

/* By its processor time: one that has only waited would wait again for each of the partitions that others are to ask for. */
static bool worked_long(const struct ing_question *question)
{
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    return now_ns - question->work_since_ns >= SMALL_MS * 1000000 &&
           mrd_thread_cpu_ns() - question->cpu_since_ns >= SMALL_MS * 1000000;
}

enum mrd_status ing_question_pace(struct ing_question *question, struct mrd_error *err)
{
    mrd_rpc_call_yield(question->call);
    question->background = mrd_thread_in_background();
    MRD_TRY(mrd_rpc_call_check(question->call, err));
    if (question->large || question->at + 1 == question->request.partition_count ||
        !worked_long(question)) {
        return MRD_OK;
    }
    MRD_TRY(become_large(question, err));
    return out_send(question, MRD_BYTES_NONE, err);
}
