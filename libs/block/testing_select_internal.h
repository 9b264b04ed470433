/* testing_select_internal.h: what the tests of selects share: matchers, and what a select yields against the series that it should. */
#ifndef MRD_BLOCK_TESTING_SELECT_INTERNAL_H
#define MRD_BLOCK_TESTING_SELECT_INTERNAL_H

#include "block/testing_internal.h"

static inline void testing_must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err->text);
    }
}

/* Of the histograms the first that the select yields: in its range, or the newest before it that is near enough. */
static inline size_t testing_first_histogram(const struct mrd_block_select *select,
                                             const struct mrd_block_series *series)
{
    const mrd_time_ms *times_ms = series->histograms.times_ms;
    const size_t first = testing_first(times_ms, series->histograms.count, select->min_ms);
    const bool before =
        first > 0 && select->histograms_before_ms > 0 &&
        times_ms[first - 1] >= mrd_time_earlier(select->min_ms, select->histograms_before_ms);
    return before ? first - 1 : first;
}

static inline bool testing_has_any(const struct mrd_block_select *select,
                                   const struct mrd_block_series *series)
{
    const size_t first = testing_first_histogram(select, series);
    return testing_has(series, select->min_ms, select->max_ms) ||
           (first < series->histograms.count &&
            series->histograms.times_ms[first] < select->min_ms);
}

/* The select's matchers and range; whatever it erases is not in `series` any more. */
static inline bool testing_accepts(const struct mrd_block_select *select,
                                   const struct mrd_block_series *series)
{
    return mrd_bytes_equal(select->tenant, series->tenant) &&
           (select->partition_count == 0 ||
            mrd_series_partition(series->id, select->partition_count) == select->partition) &&
           mrd_matchers_match(select->matchers, select->matcher_count, series->labels) &&
           testing_has_any(select, series);
}

/* `set` is what is left when the select's erasures are gone; `erased` what they had in its range. */
static inline void testing_expect_select(struct mrd_block *block, const struct testing_set *set,
                                         const struct mrd_block_select *select,
                                         const struct mrd_block_cursor_options *options,
                                         uint64_t erased)
{
    struct mrd_error err = {0};
    struct mrd_block_cursor *cursor;
    testing_must(mrd_block_select(block, select, options, &cursor, &err), &err);
    const struct mrd_block_series *got = NULL;
    bool fresh = true; /* got is to be fetched */
    for (size_t i = 0; i < set->count; i++) {
        const struct mrd_block_series *want = &set->items[i];
        if (!testing_accepts(select, want)) {
            continue;
        }
        size_t f = testing_first(want->samples.times_ms, want->samples.count, select->min_ms);
        size_t h = testing_first_histogram(select, want);
        if (fresh) {
            testing_must(mrd_block_cursor_next(cursor, &got, &err), &err);
        }
        assert_non_null(got);
        for (fresh = false; got != NULL && mrd_block_series_compare(got, want) == 0;) {
            testing_same_samples(want, got, options->want_hlc, &f, &h);
            testing_must(mrd_block_cursor_next(cursor, &got, &err), &err);
        }
        assert_true(f == want->samples.count || want->samples.times_ms[f] > select->max_ms);
        assert_true(h == want->histograms.count || want->histograms.times_ms[h] > select->max_ms);
    }
    if (fresh) {
        testing_must(mrd_block_cursor_next(cursor, &got, &err), &err);
    }
    assert_null(got);
    const uint64_t counted = mrd_block_cursor_stats(cursor).erased;
    assert_true(counted == erased || (select->histograms_before_ms > 0 && counted > erased));
    mrd_block_cursor_close(&cursor);
}

static const struct {
    enum mrd_match_type type;
    const char *name;
    const char *value;
} testing_matcher_cases[] = {
    {MRD_MATCH_EQ,  "__name__", "m1"           },
    {MRD_MATCH_EQ,  "__name__", "missing"      },
    {MRD_MATCH_RE,  "__name__", "m[0-2]"       },
    {MRD_MATCH_RE,  "__name__", "m0|m3|nothing"},
    {MRD_MATCH_NE,  "__name__", "m2"           },
    {MRD_MATCH_EQ,  "instance", "host-007"     },
    {MRD_MATCH_RE,  "instance", "host-0.*"     },
    {MRD_MATCH_RE,  "instance", ".*1"          },
    {MRD_MATCH_NRE, "instance", "host-00.|x"   },
    {MRD_MATCH_NRE, "instance", "host-001"     },
    {MRD_MATCH_EQ,  "job",      ""             },
    {MRD_MATCH_NE,  "job",      ""             },
    {MRD_MATCH_NE,  "job",      "job1"         },
    {MRD_MATCH_RE,  "job",      "job1|"        },
    {MRD_MATCH_RE,  "job",      ".*"           },
    {MRD_MATCH_RE,  "job",      ".+"           },
    {MRD_MATCH_NRE, "job",      ".+"           },
    {MRD_MATCH_NRE, "job",      "job[12]"      },
    {MRD_MATCH_EQ,  "absent",   ""             },
    {MRD_MATCH_NE,  "absent",   "x"            },
    {MRD_MATCH_RE,  "absent",   "x"            },
    {MRD_MATCH_NRE, "absent",   "x"            },
    {MRD_MATCH_EQ,  "Zone",
     "z\xc3\xbc"
     "1"                                       },
    {MRD_MATCH_RE,  "Zone",     "z.[23]"       },
    {MRD_MATCH_RE,  "le",       "(?i)[0-4]"    },
};

static inline void testing_matchers(struct mrd_matcher *out)
{
    struct mrd_error err = {0};
    for (size_t i = 0; i < MRD_ARRAY_LEN(testing_matcher_cases); i++) {
        testing_must(mrd_matcher_init(&out[i], testing_matcher_cases[i].type,
                                      mrd_bytes_of(testing_matcher_cases[i].name),
                                      mrd_bytes_of(testing_matcher_cases[i].value), &err),
                     &err);
    }
}

#endif
