/* footer_internal.h: the state of parsing a footer, shared by footer.c and footer_schema.c. */
#ifndef MRD_PARQUET_FOOTER_INTERNAL_H
#define MRD_PARQUET_FOOTER_INTERNAL_H

#include "parquet/footer.h"
#include "parquet/thrift.h"

struct pq_footer_reader {
    struct mrd_thrift_reader r;
    struct mrd_arena *arena;
    uint64_t file_size;
    struct mrd_error *err;
};

enum mrd_status pq_corrupt(const struct pq_footer_reader *in, const char *what);

/* FileMetaData.schema: fills the leaves. */
enum mrd_status pq_read_schema(struct pq_footer_reader *in, const struct mrd_thrift_field *field,
                               struct mrd_pq_footer *footer);

#endif
