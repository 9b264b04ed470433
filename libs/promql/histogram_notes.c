/* Prometheus' words about native histograms (util/annotations). */
#include "promql/exec.h"

enum naming { NAMELESS, NAME_QUOTED, NAME_PLAIN };

static const struct {
    enum mrd_annotation_kind kind;
    enum naming naming;
    const char *before; /* the name */
    const char *after;
} notes[] = {
    [PQL_NOTE_MIXED_RANGE] = {MRD_ANNOTATION_WARNING, NAME_QUOTED,
                              "encountered a mix of histograms and floats for metric name ",  ""},
    [PQL_NOTE_MIXED_AGGREGATE] = {MRD_ANNOTATION_WARNING, NAMELESS,
                              "encountered a mix of histograms and floats for aggregation",   ""},
    [PQL_NOTE_MIXED_SCHEMAS] = {MRD_ANNOTATION_WARNING, NAME_QUOTED,
                              "vector contains a mix of histograms with exponential and custom "
                                "buckets schemas for metric name ",                           ""},
    [PQL_NOTE_NOT_COUNTER] = {MRD_ANNOTATION_WARNING, NAME_QUOTED,
                              "this native histogram metric is not a counter: ",              ""},
    [PQL_NOTE_NOT_GAUGE] = {MRD_ANNOTATION_WARNING, NAME_QUOTED,
                              "this native histogram metric is not a gauge: ",                ""},
    [PQL_NOTE_COLLISION_ADD] = {MRD_ANNOTATION_WARNING, NAMELESS,
                              "conflicting counter resets during histogram addition",         ""},
    [PQL_NOTE_COLLISION_SUB] = {MRD_ANNOTATION_WARNING, NAMELESS,
                              "conflicting counter resets during histogram subtraction",      ""},
    [PQL_NOTE_COLLISION_AGG] = {MRD_ANNOTATION_WARNING, NAMELESS,
                              "conflicting counter resets during histogram aggregation",      ""},
    [PQL_NOTE_RECONCILED_ADD] = {MRD_ANNOTATION_INFO,    NAMELESS,
                              "mismatched custom buckets were reconciled during addition",    ""},
    [PQL_NOTE_RECONCILED_SUB] = {MRD_ANNOTATION_INFO,    NAMELESS,
                              "mismatched custom buckets were reconciled during subtraction", ""},
    [PQL_NOTE_RECONCILED_AGG] = {MRD_ANNOTATION_INFO,    NAMELESS,
                              "mismatched custom buckets were reconciled during aggregation", ""},
    [PQL_NOTE_IGNORED_AGGREGATE] = {MRD_ANNOTATION_INFO,    NAME_PLAIN,  "ignored histogram in ",
                              " aggregation"                                                    },
    [PQL_NOTE_IGNORED_RANGE] = {MRD_ANNOTATION_INFO,    NAME_QUOTED,
                              "ignored histograms in a range containing both floats and "
                                "histograms for metric name ",                                ""},
};

void pql_note_histogram(struct pql_exec *exec, enum pql_histogram_note note,
                        struct mrd_annotation_place place, struct mrd_bytes about)
{
    const char *quote = notes[note].naming == NAME_QUOTED ? "\"" : "";
    if (notes[note].naming == NAMELESS) {
        about = MRD_BYTES_NONE;
    }
    mrd_annotations_addf(exec->annotations, notes[note].kind, place, "%s%s%.*s%s%s",
                         notes[note].before, quote, MRD_FMT(about), quote, notes[note].after);
}

void pql_note_overlaps(struct pql_exec *exec, size_t occurrences, struct mrd_annotation_place place,
                       struct mrd_bytes name)
{
    mrd_annotations_count(exec->annotations, MRD_ANNOTATION_WARNING, place, occurrences,
                          "sample has start time that overlaps with previous sample timestamp for "
                          "metric \"%.*s\"",
                          MRD_FMT(name));
}
