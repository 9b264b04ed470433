/* questions_internal.h: one question under way, for the files that answer it.
 *
 *   questions.c        takes it apart into its partitions, and the life of all
 *   question_parts.c   writes the answer's parts into chunks and sends those
 *   question_select.c  series with their samples
 *   question_fragment.c  plan fragments: series evaluated here
 *   question_lists.c   names, counts, exemplars, metadata
 *   question_known.c   which series are active, and how many
 *
 * A question is answered by one worker, partition by partition, in one message where it is small. As soon as it turns out to be
 * large, by its bytes or by its time, the partitions that it has not begun are left to questions of their own
 * (ing_question_pace): these find other workers, and the memory of each is bounded by its own window.
 *
 * Threads: the worker's.
 */
#ifndef ING_QUESTIONS_INTERNAL_H
#define ING_QUESTIONS_INTERNAL_H

#include "ingester/questions.h"
#include "wire/query.h"

struct ing_question {
    const struct ing_questions_options *options;
    struct mrd_rpc_call *call;
    struct mrd_query_request request;
    struct ing_partition **partitions; /* as in the request; NULL: not here, or done */
    size_t at;                         /* the one that is being answered */
    struct mrd_query_trailer trailer;  /* of its answer */
    struct mrd_buf out;                /* parts for the next chunk */
    bool large;                        /* the partitions after `at` are left to others */
    bool background;                   /* its thread is of the background */
    int64_t work_since_ns;
    int64_t cpu_since_ns; /* the same in its thread's processor time */
};

static inline struct ing_partition *ing_question_partition(const struct ing_question *question)
{
    return question->partitions[question->at];
}

/* ---- parts ---- */

/* Data of one part at most, but for what cannot be cut: that is a chunk of its own. */
size_t ing_question_data_max(const struct ing_question *question);

/* A part with data of the present partition; waits for credit where a chunk is full. */
MRD_MUST_CHECK enum mrd_status ing_question_data(struct ing_question *question,
                                                 struct mrd_bytes data, struct mrd_error *err);

/* The present partition is answered. */
MRD_MUST_CHECK enum mrd_status ing_question_end(struct ing_question *question,
                                                struct mrd_error *err);

/* A partition has no answer here. */
MRD_MUST_CHECK enum mrd_status ing_question_failed(struct ing_question *question, uint32_t number,
                                                   const struct mrd_error *error,
                                                   struct mrd_error *err);

/* To be called wherever a long answer could be interrupted, every few hundred microseconds: MRD_E_CANCELED and so on when nobody
 * waits any more; lets the other partitions go once the question has taken its time, and tells so at once. */
MRD_MUST_CHECK enum mrd_status ing_question_pace(struct ing_question *question,
                                                 struct mrd_error *err);

/* Asked by what waits: whether anybody waits for the answer. The question must outlive it. */
struct mrd_look ing_question_look(const struct ing_question *question);

/* ---- answers of the present partition, without its end ---- */

MRD_MUST_CHECK enum mrd_status ing_question_select(struct ing_question *question,
                                                   struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status ing_question_list(struct ing_question *question,
                                                 struct mrd_error *err);

MRD_MUST_CHECK enum mrd_status ing_question_fragment(struct ing_question *question,
                                                     struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status ing_question_known(struct ing_question *question,
                                                  struct mrd_error *err);

/* A select of the present partition's head, slice by slice. Zero-initialise but for the query, whose matchers are needed
 * until the first slice; close it while the partition is still borrowed. */
struct ing_slices {
    struct ing_ask ask; /* first */
    struct mrd_head_query query;
    struct mrd_head_selection *selection; /* the slice at hand */
    struct mrd_head_cursor *cursor;       /* NULL: no slice follows, once one was read */
    bool begun;
    bool unsorted; /* it is to be resolved once more, alone with the head */
};

/* The next slice; selection is NULL after the last one. */
MRD_MUST_CHECK enum mrd_status ing_slices_next(struct ing_question *question,
                                               struct ing_slices *slices, struct mrd_error *err);
void ing_slices_close(struct ing_question *question, struct ing_slices *slices);

struct mrd_head_query ing_question_head_query(struct ing_question *question);

/* For long reading of the present partition's head: lets urgent asks in, ends with the call. The question must outlive it. */
struct mrd_head_pause ing_question_pause(struct ing_question *question);

/* Gives back the present partition, if it is still borrowed, or any other one. */
void ing_question_give_back(struct ing_question *question, size_t index);

#endif
