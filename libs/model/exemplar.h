/* exemplar.h: one exemplar of a series: a value at a time, with labels of its own (usually a trace id). */
#ifndef MRD_MODEL_EXEMPLAR_H
#define MRD_MODEL_EXEMPLAR_H

#include "base/bytes.h"
#include "model/sample.h"

enum { MRD_EXEMPLAR_LABEL_RUNES_MAX = 128 }; /* OpenMetrics: names and values together */

struct mrd_exemplar {
    mrd_time_ms time_ms;
    double value;
    struct mrd_bytes labels; /* canonical (model/labels.h); may be empty; borrowed */
};

#endif
