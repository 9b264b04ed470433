/* script_text.h: the words of test scripts: lines, label sets, value sequences, times. */
#ifndef MRD_PROMQLTEST_SCRIPT_TEXT_H
#define MRD_PROMQLTEST_SCRIPT_TEXT_H

#include "base/bytes.h"
#include "base/clock.h"
#include "model/float_histogram.h"
#include "model/labels.h"

/* Takes what stands before the next newline off *text, without blanks around it. False at the end. */
bool script_take_line(struct mrd_bytes *text, struct mrd_bytes *out_line);

/* Takes a word (up to a blank) and the blanks behind it off *text. Empty at the end. */
struct mrd_bytes script_take_word(struct mrd_bytes *text);

/* True, and taken off with the blanks behind it, if *text starts with the word. */
bool script_take_prefix(struct mrd_bytes *text, const char *prefix);

/* Takes a series (name{a="b"}, {"name", a="b"}, {}) off *text into a label set in the arena. */
MRD_MUST_CHECK enum mrd_status script_take_series(struct mrd_bytes *text, struct mrd_arena *arena,
                                                  struct mrd_labels *out, struct mrd_error *err);

/* "5m", "-30s", "+30s", "90" or "1.5" (seconds). */
MRD_MUST_CHECK enum mrd_status script_parse_time(struct mrd_bytes text, mrd_time_ms *out_ms,
                                                 struct mrd_error *err);

struct script_value {
    bool omitted;  /* `_` */
    bool hint_set; /* the histogram's literal names a counter reset hint */
    double value;
    const struct mrd_float_histogram *histogram; /* NULL: a float */
    mrd_time_ms start_ms;                        /* of a load: since when it counts; 0: unknown */
};

/* A sequence of floats and histograms up to the end of the line, in the arena. */
MRD_MUST_CHECK enum mrd_status script_parse_values(struct mrd_bytes text, struct mrd_arena *arena,
                                                   struct script_value **out, size_t *out_count,
                                                   struct mrd_error *err);

/* The same of times instead of floats, in milliseconds, and without histograms: -30s-1mx2 and the like. */
MRD_MUST_CHECK enum mrd_status script_parse_times(struct mrd_bytes text, struct mrd_arena *arena,
                                                  struct script_value **out, size_t *out_count,
                                                  struct mrd_error *err);

#endif
