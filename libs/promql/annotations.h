/* annotations.h: the warnings and infos that a query collects beside its answer.
 *
 * The texts are Prometheus' (util/annotations): "PromQL warning: ..." or "PromQL info: ...", and
 * " (line:col)" where the place in the query is known. The same text is kept once, whatever its place: with
 * that of the expression that Prometheus evaluates last (left to right, inside out). Storage warnings
 * carry no prefix of ours.
 *
 * Owner:   the query. Texts and the table live in the arena given to mrd_annotations_init.
 * Threads: the query's thread only; a source that collects elsewhere hands its texts over in `next`.
 * Limits:  MRD_ANNOTATIONS_MAX texts of each kind are kept, the rest is counted; the API shows ten.
 */
#ifndef MRD_PROMQL_ANNOTATIONS_H
#define MRD_PROMQL_ANNOTATIONS_H

#include "base/arena.h"

enum mrd_annotation_kind { MRD_ANNOTATION_WARNING, MRD_ANNOTATION_INFO, MRD_ANNOTATION_KINDS };

enum { MRD_ANNOTATIONS_MAX = 1000 };

struct mrd_annotation {
    struct mrd_bytes text; /* complete, as the API prints it */
    size_t raw_size;       /* of the text without its place */
    size_t order;          /* of the expression */
    size_t occurrences;    /* 0: not counted */
    size_t offset;         /* of the first one, if they are */
    struct mrd_annotation *next;
};

struct mrd_annotations {
    struct mrd_arena *arena;
    struct mrd_bytes query; /* for line:col; may be empty */
    struct mrd_annotation *first[MRD_ANNOTATION_KINDS];
    struct mrd_annotation *last[MRD_ANNOTATION_KINDS];
    size_t count[MRD_ANNOTATION_KINDS];
    size_t dropped[MRD_ANNOTATION_KINDS]; /* beyond the limit, or no memory */
};

void mrd_annotations_init(struct mrd_annotations *annotations, struct mrd_arena *arena,
                          struct mrd_bytes query);

/* Adds a text as it is (a storage's warning). Never fails: what cannot be kept is counted. */
void mrd_annotations_add(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                         struct mrd_bytes text);

/* Where an annotation comes from. */
struct mrd_annotation_place {
    size_t offset; /* the byte in the query where the expression starts */
    size_t order;  /* of its evaluation: greater is later */
};

/* Adds "PromQL warning: <text> (line:col)" or "PromQL info: ...". */
void mrd_annotations_addf(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                          struct mrd_annotation_place place, const char *format, ...)
    MRD_PRINTF(4, 5);

/* The same with how often it was: more than once stands in the text, " (3 occurrences)", and the place is that of
 * the expression that is evaluated first. The message is at most 1023 bytes. */
void mrd_annotations_count(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                           struct mrd_annotation_place place, size_t occurrences,
                           const char *format, ...) MRD_PRINTF(5, 6);

/* Adds one that another process made for the same query: text, raw_size and order count; of one that
 * was counted, raw_size bytes of the text, order, occurrences and offset. */
void mrd_annotations_add_made(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                              const struct mrd_annotation *made);

/* In the order of evaluation, then of their texts: not that of who came first, which says where series are. */
void mrd_annotations_sort(struct mrd_annotations *annotations);

#endif
