/* avro.h: Avro's object container files and its binary encoding (Avro 1.11 specification), which Iceberg's
 * manifests and manifest lists are in.
 *
 * There is no schema in code: the schema is a text that goes into the file, and whoever writes records puts their
 * fields in its order. Who reads must know the schema too: compare mrd_avro_file_metadata "avro.schema" with what
 * is known, then take the fields in order.
 *
 * Codecs: null and deflate. Same calls, same bytes: the sync marker is an argument.
 *
 * Threads: none of its own; a writer or reader belongs to one thread at a time.
 * Errors:  MRD_E_CORRUPT for bytes that are not what they say, MRD_E_UNSUPPORTED for other codecs, MRD_E_LIMIT for
 *          blocks or headers beyond the limit; nothing is allocated by a number in a file without that bound.
 */
#ifndef MRD_ICEBERG_AVRO_H
#define MRD_ICEBERG_AVRO_H

#include "base/bytes.h"

enum mrd_avro_codec { MRD_AVRO_NULL, MRD_AVRO_DEFLATE };

enum { MRD_AVRO_SYNC_SIZE = 16 };

/* ---- values to bytes: fields of a record in the order of its schema ---- */

static inline void mrd_avro_put_boolean(struct mrd_buf *out, bool value)
{
    mrd_buf_append_u8(out, value);
}

/* int and long; also the branch of a union, whose value follows (null has no bytes). */
static inline void mrd_avro_put_long(struct mrd_buf *out, int64_t value)
{
    mrd_buf_append_zigzag(out, value);
}
void mrd_avro_put_double(struct mrd_buf *out, double value);
void mrd_avro_put_bytes(struct mrd_buf *out, struct mrd_bytes value); /* and string */

/* An array or map: the number of its items, then the items, then mrd_avro_put_end. Nothing but the end if it
 * is empty. A map's item is a string and the value. */
void mrd_avro_put_items(struct mrd_buf *out, size_t count);
static inline void mrd_avro_put_end(struct mrd_buf *out) { mrd_buf_append_u8(out, 0); }

/* ---- writing a file ---- */

struct mrd_avro_pair {
    struct mrd_bytes key;
    struct mrd_bytes value;
};

/* A file that grows in `out`, whose limit bounds it. */
struct mrd_avro_writer {
    struct mrd_buf *out;
    enum mrd_avro_codec codec;
    uint8_t sync[MRD_AVRO_SYNC_SIZE];
    struct mrd_buf block; /* records of the open block: append values here */
    uint64_t records;
};

/* Writes the header. The metadata (copied) must not have keys of Avro's own ("avro."). */
void mrd_avro_writer_init(struct mrd_avro_writer *writer, struct mrd_buf *out,
                          enum mrd_avro_codec codec, struct mrd_bytes schema,
                          const struct mrd_avro_pair *metadata, size_t metadata_count,
                          const uint8_t sync[MRD_AVRO_SYNC_SIZE]);

/* Ends a record, whose values were appended to writer->block; ends the block when it is large. */
void mrd_avro_writer_end_record(struct mrd_avro_writer *writer);

/* Ends the file. MRD_E_LIMIT if it has passed the limit of `out`. */
MRD_MUST_CHECK enum mrd_status mrd_avro_writer_close(struct mrd_avro_writer *writer,
                                                     struct mrd_error *err);
void mrd_avro_writer_fini(struct mrd_avro_writer *writer);

/* ---- reading a file ---- */

struct mrd_avro_file;

/* Parses the header. `bytes` are lent until close; limit_bytes bounds a decompressed block and, in pairs, the header. */
MRD_MUST_CHECK enum mrd_status mrd_avro_file_open(struct mrd_bytes bytes, size_t limit_bytes,
                                                  struct mrd_avro_file **out_file,
                                                  struct mrd_error *err);
void mrd_avro_file_close(struct mrd_avro_file **file);

/* The value of a key of the header ("avro.schema", "partition-spec", ...); false if there is none. */
bool mrd_avro_file_metadata(const struct mrd_avro_file *file, struct mrd_bytes key,
                            struct mrd_bytes *out_value);

/* The next block: how many records, and a reader over their bytes, both until the next call. *out_records is 0 at the
 * end of the file. */
MRD_MUST_CHECK enum mrd_status mrd_avro_file_block(struct mrd_avro_file *file,
                                                   uint64_t *out_records,
                                                   struct mrd_reader *out_values,
                                                   struct mrd_error *err);

/* ---- bytes to values: `failed` of the reader tells; check it once a record ---- */

bool mrd_avro_get_boolean(struct mrd_reader *in);
static inline int64_t mrd_avro_get_long(struct mrd_reader *in) { return mrd_read_zigzag(in); }
double mrd_avro_get_double(struct mrd_reader *in);
struct mrd_bytes mrd_avro_get_bytes(struct mrd_reader *in); /* and string; points into the block */

/* The branch of a union of `count` branches. */
size_t mrd_avro_get_branch(struct mrd_reader *in, size_t count);

/* Items of an array or map: begin with *left = 0; true while there is an item to take.
 *     for (uint64_t left = 0; mrd_avro_next_item(in, &left);) { take it }
 * Every item must take a byte at least, or a hostile count would keep the loop going. */
bool mrd_avro_next_item(struct mrd_reader *in, uint64_t *left);

#endif
