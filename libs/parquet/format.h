/* format.h: the words of the Parquet format that the writer and the reader of this library share, and
 * the one shape in which columns are handed over: levels and values of one leaf.
 *
 * Followed: apache/parquet-format (README, Encodings, parquet.thrift). Numbers below are the format's
 * own. Our subset and what we chose in it: docs/formats/parquet.md.
 */
#ifndef MRD_PARQUET_FORMAT_H
#define MRD_PARQUET_FORMAT_H

#include "base/bytes.h"

enum mrd_pq_type {
    MRD_PQ_BOOLEAN = 0,
    MRD_PQ_INT32 = 1,
    MRD_PQ_INT64 = 2,
    MRD_PQ_INT96 = 3, /* refused: an old timestamp without a defined order */
    MRD_PQ_FLOAT = 4, /* read only */
    MRD_PQ_DOUBLE = 5,
    MRD_PQ_BYTE_ARRAY = 6,
    MRD_PQ_FIXED = 7,
    MRD_PQ_TYPE_COUNT
};

/* What the values of a leaf stand for. */
enum mrd_pq_meaning {
    MRD_PQ_RAW, /* nothing beyond the type */
    MRD_PQ_STRING,
    MRD_PQ_TIMESTAMP_US, /* INT64 since the epoch, UTC */
    MRD_PQ_TIMESTAMP_MS, /* read only, as the next two */
    MRD_PQ_TIMESTAMP_NS,
    MRD_PQ_OTHER, /* decimals, dates, local times, unsigned integers: the importer must know them */
};

enum mrd_pq_encoding {
    MRD_PQ_PLAIN = 0,
    MRD_PQ_PLAIN_DICTIONARY = 2, /* read only: what old writers call RLE_DICTIONARY */
    MRD_PQ_RLE = 3,
    MRD_PQ_BIT_PACKED = 4, /* refused: levels of files older than 2013 */
    MRD_PQ_DELTA_BINARY_PACKED = 5,
    MRD_PQ_DELTA_LENGTH_BYTE_ARRAY = 6,
    MRD_PQ_DELTA_BYTE_ARRAY = 7,
    MRD_PQ_RLE_DICTIONARY = 8,
    MRD_PQ_BYTE_STREAM_SPLIT = 9,
    MRD_PQ_ENCODING_COUNT
};

enum mrd_pq_codec {
    MRD_PQ_NONE = 0,
    MRD_PQ_SNAPPY = 1,
    MRD_PQ_GZIP = 2, /* read only */
    MRD_PQ_ZSTD = 6,
};

enum { MRD_PQ_LEVEL_MAX = 15 }; /* deeper nesting is refused */

/* One leaf of the schema: what is stored as a column chunk per row group. */
struct mrd_pq_leaf {
    struct mrd_bytes path; /* names from the root, with dots: "labels.key_value.key" */
    enum mrd_pq_type type;
    enum mrd_pq_meaning meaning;
    uint32_t fixed_size; /* bytes of a value, MRD_PQ_FIXED only */
    uint8_t def_max;     /* the definition level of an entry that has a value */
    uint8_t rep_max;     /* 0: one entry a row */
    int32_t field_id;    /* -1: none */
};

/* Entries of one leaf. A flat column has one entry a row, a list or map one per element, and one for
 * an empty or missing list. An entry has a value if its definition level is def_max; only those are in
 * the array of values.
 *   rep: 0 begins a row, 1 goes on with its list
 *   def: for an optional flat column 0 (null) or 1; for a list one level more per optional or repeated
 *        node of its path, from the root
 * Threads and life: a view; whoever hands it out says how long it lives. */
struct mrd_pq_batch {
    size_t entries;
    size_t values;
    const uint8_t *def; /* NULL: every entry has a value */
    const uint8_t *rep; /* NULL: every entry begins a row */
    union {
        const void *any;
        const uint8_t *booleans; /* 0 or 1, one byte each */
        const int32_t *i32;
        const int64_t *i64;
        const float *f32;
        const double *f64;
        const struct mrd_bytes *bytes; /* MRD_PQ_BYTE_ARRAY */
        const uint8_t *fixed;          /* fixed_size bytes each */
    };
};

/* Bytes of a value as batches hold it; for MRD_PQ_BYTE_ARRAY that of its struct mrd_bytes. */
size_t mrd_pq_value_size(enum mrd_pq_type type, uint32_t fixed_size);

/* The format's name, "DELTA_BINARY_PACKED"; "?" for a number it does not have. Static storage. */
const char *mrd_pq_encoding_name(unsigned encoding);

#endif
