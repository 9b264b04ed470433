/* thrift.h: Thrift's compact protocol (apache/thrift doc/specs/thrift-compact-protocol.md), as far as
 * Parquet's metadata needs it. Binary protocol and messages do not exist here.
 *
 * Writing goes to a struct mrd_buf, whose `failed` is checked once at the end. Reading is bounded like
 * struct mrd_reader: the first fault sets `in.failed`, everything after it reads as nothing, loops end.
 *
 * Threads: none of its own; a reader or writer belongs to one thread.
 */
#ifndef MRD_PARQUET_THRIFT_H
#define MRD_PARQUET_THRIFT_H

#include "base/bytes.h"

enum mrd_thrift_type {
    MRD_THRIFT_STOP = 0,
    MRD_THRIFT_TRUE = 1,
    MRD_THRIFT_FALSE = 2,
    MRD_THRIFT_I8 = 3,
    MRD_THRIFT_I16 = 4,
    MRD_THRIFT_I32 = 5,
    MRD_THRIFT_I64 = 6,
    MRD_THRIFT_DOUBLE = 7,
    MRD_THRIFT_BINARY = 8,
    MRD_THRIFT_LIST = 9,
    MRD_THRIFT_SET = 10,
    MRD_THRIFT_MAP = 11,
    MRD_THRIFT_STRUCT = 12,
};

enum { MRD_THRIFT_DEPTH_MAX = 16 }; /* of structs and lists in each other; Parquet has about 8 */

/* ---- writing ---- */

struct mrd_thrift_writer {
    struct mrd_buf *out;
    int16_t last_id[MRD_THRIFT_DEPTH_MAX]; /* per open struct */
    unsigned depth;
};

/* Field ids must rise within a struct. A struct in a list begins with field 0. */
void mrd_thrift_put_bool(struct mrd_thrift_writer *w, int16_t id, bool value);
void mrd_thrift_put_i16(struct mrd_thrift_writer *w, int16_t id, int16_t value);
void mrd_thrift_put_i32(struct mrd_thrift_writer *w, int16_t id, int32_t value);
void mrd_thrift_put_i64(struct mrd_thrift_writer *w, int16_t id, int64_t value);
void mrd_thrift_put_binary(struct mrd_thrift_writer *w, int16_t id, struct mrd_bytes value);
void mrd_thrift_put_struct(struct mrd_thrift_writer *w, int16_t id);
void mrd_thrift_put_list(struct mrd_thrift_writer *w, int16_t id, enum mrd_thrift_type element,
                         size_t count);

/* Elements of a list follow its header: raw values, or begin/end of a struct. */
void mrd_thrift_element_binary(struct mrd_thrift_writer *w, struct mrd_bytes value);
void mrd_thrift_element_int(struct mrd_thrift_writer *w, int64_t value);
void mrd_thrift_element_bool(struct mrd_thrift_writer *w, bool value);
void mrd_thrift_begin(struct mrd_thrift_writer *w); /* also for the outermost struct */
void mrd_thrift_end(struct mrd_thrift_writer *w);

/* ---- reading ---- */

struct mrd_thrift_reader {
    struct mrd_reader in;
    unsigned depth;
};

/* Where one is in a struct; begin with {0}. */
struct mrd_thrift_field {
    int16_t id;
    enum mrd_thrift_type type;
};

struct mrd_thrift_reader mrd_thrift_reader_of(struct mrd_bytes bytes);

/* Reads the header of the next field; false at the end of the struct and after a fault. The caller must
 * take the field's value with one of the functions below, mrd_thrift_skip for what it does not know. */
bool mrd_thrift_next(struct mrd_thrift_reader *r, struct mrd_thrift_field *field);

/* The value of `field`. A type other than the one asked for is a fault. Integers of any width are taken
 * and checked against the limits. */
bool mrd_thrift_get_bool(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field);
int32_t mrd_thrift_get_i32(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field);
int64_t mrd_thrift_get_i64(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field);
struct mrd_bytes mrd_thrift_get_binary(struct mrd_thrift_reader *r,
                                       const struct mrd_thrift_field *field);
void mrd_thrift_skip(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field);

/* The header of a list whose elements have the type `element`: their number, which never exceeds the
 * bytes that are left, so it bounds an allocation. TRUE stands for lists of booleans. */
size_t mrd_thrift_get_list(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field,
                           enum mrd_thrift_type element);
bool mrd_thrift_element_is_true(struct mrd_thrift_reader *r);

/* Goes into a struct, which is a field's value or a list's element, and out again after its last field. */
void mrd_thrift_enter(struct mrd_thrift_reader *r);
void mrd_thrift_enter_field(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field);
void mrd_thrift_leave(struct mrd_thrift_reader *r);

#endif
