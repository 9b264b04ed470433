/* exemplar.h: one exemplar of a series: a value at a time, with labels of its own (usually a trace id). */
#ifndef MRD_MODEL_EXEMPLAR_H
#define MRD_MODEL_EXEMPLAR_H

#include "model/labels.h"
#include "model/sample.h"

enum { MRD_EXEMPLAR_LABEL_RUNES_MAX = 128 }; /* OpenMetrics: names and values together */

struct mrd_exemplar {
    mrd_time_ms time_ms;
    double value;
    struct mrd_bytes labels; /* canonical (model/labels.h); may be empty; borrowed */
};

/* Checks the labels that a writer sent with an exemplar: sorts items in place, drops those with an empty value
 * (*count shrinks), then demands non-empty valid UTF-8 names, valid UTF-8 values, no name twice, and at most
 * MRD_EXEMPLAR_LABEL_RUNES_MAX characters in all. MRD_E_INVALID says what is wrong. */
MRD_MUST_CHECK enum mrd_status mrd_exemplar_labels_check(struct mrd_label *items, size_t *count,
                                                         struct mrd_error *err);

#endif
