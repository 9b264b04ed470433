/* schema.h: the columns of a block's data file: names, types and Iceberg field ids. An Iceberg table of samples
 * has exactly these, in this order.
 *
 * Blocks of level 1 and above are files of their tenant's table. Level 0 has rows of many tenants (column `tenant`) and no
 * `labels`; it is in no table.
 *
 *   column            id      type                     null means
 *   tenant            41      string                   (level 0 only)
 *   metric            1       string
 *   <promoted label>  2..19*  string                   the series does not have the label
 *   labels            20      map<string, string>      (not in level 0); all labels but the metric name; key 50, value 51
 *   series_id         21      long                     low half of the series id
 *   ts                22      timestamptz (us)
 *   value             23      double                   staleness marker, or the row is a histogram, or value_i has it
 *   value_i           25      long                     (compact only) the value is in `value`, or there is none
 *   value_e           26      int                      (compact only) likewise; the value is value_i / 10^value_e, exactly
 *   st                24      timestamptz (us)         not known since when the value counts
 *   h_count           30      double                   the row is no histogram, or is a staleness marker
 *   h_sum             31      double                   likewise
 *   h_schema          32      int                      likewise
 *   h_zero_threshold  33      double                   likewise
 *   h_zero_count      34      double                   likewise
 *   h_chunk           35      binary                   not the first histogram of a chunk (docs/formats/block.md)
 *   hlc               40      long                     not kept, or beside the columns: above level 0 always (the column is there always)
 *   * any id that the table has given the label; 2 + its index by default, MRD_BLOCK_FIELD_EVOLVED on for more
 *
 * A rollup's file (level 1 and above) has metric, promoted labels, labels and series_id as above, then
 *
 *   ts                22      timestamptz (us)         the end of the window, which belongs to it; its beginning does not
 *   count             70      long                     required: samples without staleness markers and histograms
 *   sum, min, max, first, last  71 to 75  double       count is 0
 *   first_ts, last_ts 76, 77  timestamptz              count is 0
 *   increase          78      double                   count is 0; a counter's from first to last, resets made good
 *   resets, changes   79, 80  long                     count is 0
 *   sum_error         81      double                   nothing was lost in rounding; else sum + sum_error is nearer
 *   lost              82      double                   no resets; else the values before them, added up
 *   first_st, last_st 83, 84  timestamptz              start times of first and last are not known
 *   stale_ts          85      timestamptz              no staleness marker; else the last one's time
 *   histograms        86      long                     no native histograms; else how many
 *   state             87      binary                   the columns say it all; else the row (docs/formats/rollup.md)
 *
 * A file of series, which a block of level 1 and above may have beside its own (a row for each series), has metric, promoted labels, labels and
 * series_id as above, then
 *
 *   first_ts, last_ts 76, 77  timestamptz              required: of the series' first and last sample in the block
 *   samples           60      long                     required: how many rows of the data file are the series'
 *
 * Rows are sorted by (tenant,) metric; within a metric all rows of a series follow each other by ts.
 *
 * Owner:   plain values; names point into the options.
 * Threads: pure functions.
 */
#ifndef MRD_BLOCK_SCHEMA_H
#define MRD_BLOCK_SCHEMA_H

#include <stdbool.h>

#include "base/bytes.h"

enum mrd_block_field_id {
    MRD_BLOCK_FIELD_METRIC = 1,
    MRD_BLOCK_FIELD_PROMOTED = 2,
    MRD_BLOCK_FIELD_LABELS = 20,
    MRD_BLOCK_FIELD_SERIES_ID = 21,
    MRD_BLOCK_FIELD_TS = 22,
    MRD_BLOCK_FIELD_VALUE = 23,
    MRD_BLOCK_FIELD_ST = 24,
    MRD_BLOCK_FIELD_VALUE_I = 25,
    MRD_BLOCK_FIELD_VALUE_E = 26,
    MRD_BLOCK_FIELD_H_COUNT = 30,
    MRD_BLOCK_FIELD_H_SUM = 31,
    MRD_BLOCK_FIELD_H_SCHEMA = 32,
    MRD_BLOCK_FIELD_H_ZERO_THRESHOLD = 33,
    MRD_BLOCK_FIELD_H_ZERO_COUNT = 34,
    MRD_BLOCK_FIELD_H_CHUNK = 35,
    MRD_BLOCK_FIELD_HLC = 40,
    MRD_BLOCK_FIELD_TENANT = 41,
    MRD_BLOCK_FIELD_LABELS_KEY = 50,
    MRD_BLOCK_FIELD_LABELS_VALUE = 51,
    MRD_BLOCK_FIELD_SAMPLES = 60, /* of files of series */
    MRD_BLOCK_FIELD_COUNT = 70,   /* of rollups, from here on */
    MRD_BLOCK_FIELD_SUM = 71,
    MRD_BLOCK_FIELD_MIN = 72,
    MRD_BLOCK_FIELD_MAX = 73,
    MRD_BLOCK_FIELD_FIRST = 74,
    MRD_BLOCK_FIELD_LAST = 75,
    MRD_BLOCK_FIELD_FIRST_TS = 76,
    MRD_BLOCK_FIELD_LAST_TS = 77,
    MRD_BLOCK_FIELD_INCREASE = 78,
    MRD_BLOCK_FIELD_RESETS = 79,
    MRD_BLOCK_FIELD_CHANGES = 80,
    MRD_BLOCK_FIELD_SUM_ERROR = 81,
    MRD_BLOCK_FIELD_LOST = 82,
    MRD_BLOCK_FIELD_FIRST_ST = 83,
    MRD_BLOCK_FIELD_LAST_ST = 84,
    MRD_BLOCK_FIELD_STALE_TS = 85,
    MRD_BLOCK_FIELD_HISTOGRAMS = 86,
    MRD_BLOCK_FIELD_STATE = 87,
    MRD_BLOCK_FIELD_OWN_LAST = 99,  /* no promoted label has an id up to here, but for 2 to 19 */
    MRD_BLOCK_FIELD_EVOLVED = 1000, /* promoted labels that a table gets later */
};

enum {
    MRD_BLOCK_PROMOTED_MAX = 18,
    MRD_BLOCK_COLUMNS_MAX = 24 + MRD_BLOCK_PROMOTED_MAX,
};

enum mrd_block_column_type { /* in Iceberg's words */
                             MRD_BLOCK_STRING,
                             MRD_BLOCK_BINARY,
                             MRD_BLOCK_INT,
                             MRD_BLOCK_LONG,
                             MRD_BLOCK_DOUBLE,
                             MRD_BLOCK_TIMESTAMPTZ,
                             MRD_BLOCK_STRING_MAP, /* key and value required */
};

struct mrd_block_column {
    const char *name;
    int32_t field_id;
    enum mrd_block_column_type type;
    bool required;
    int32_t key_id; /* maps */
    int32_t value_id;
    bool promoted;
};

/* A label that has a column of its own. */
struct mrd_block_promoted {
    const char *label;
    int32_t field_id;
};

struct mrd_block_schema_options {
    unsigned level;
    const struct mrd_block_promoted *promoted; /* the columns stand in this order */
    size_t promoted_count;
    bool compact; /* with value_i and value_e */
    bool rollup;  /* rows of windows, not samples */
    bool series;  /* rows of series; level 1 and above */
};

struct mrd_block_schema {
    struct mrd_block_column columns[MRD_BLOCK_COLUMNS_MAX];
    size_t column_count;
};

/* Fills *out. MRD_E_INVALID for promoted labels that cannot have a column: more than MRD_BLOCK_PROMOTED_MAX, a name that is
 * not [a-zA-Z_][a-zA-Z0-9_]*, that another column has (upper or lower case aside), or a field id that is taken. */
MRD_MUST_CHECK enum mrd_status mrd_block_schema_init(const struct mrd_block_schema_options *options,
                                                     struct mrd_block_schema *out,
                                                     struct mrd_error *err);

/* The index of the column with this field id, or -1. */
int mrd_block_schema_find(const struct mrd_block_schema *schema, int32_t field_id);

#endif
