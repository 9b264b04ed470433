/* writer_internal.h: the parts of a writer. writer.c has its life and takes series, writer_run.c collects the rows of the
 * series at hand, writer_page.c puts them into the columns, writer_rollup.c does both for rows of rollups, writer_series.c has the file of series,
 * writer_file.c a Parquet file on its way into the store, writer_finish.c ends the files.
 */
#ifndef MRD_BLOCK_WRITER_INTERNAL_H
#define MRD_BLOCK_WRITER_INTERNAL_H

#include "block/build_internal.h"
#include "block/stamps_internal.h"
#include "block/writer.h"
#include "codec/histogram.h"
#include "parquet/writer.h"

enum {
    BLOCK_HISTOGRAM_COLUMNS = 5,     /* those of numbers, h_count to h_zero_count */
    BLOCK_CHUNK_HISTOGRAMS = 120,    /* of one h_chunk */
    BLOCK_CHUNK_BYTES = 16 << 10,    /* a chunk ends when it is that large */
    BLOCK_RUN_CHUNK_BYTES = 1 << 20, /* of h_chunk in one run; likewise in one page */
    BLOCK_LABEL_PAGE_ROWS =
        1 << 15, /* of pages of tenant, metric, labels, series_id: some data pages */
    BLOCK_LABEL_PAGE_BYTES = 64 << 20,
    BLOCK_DICTIONARY_BYTES = 1 << 20,
    BLOCK_TAIL_BYTES = 4096, /* of each file, read back */
};

/* Columns by what fills them; leaves of the Parquet file, -1: not in this file. */
struct block_leaves {
    int tenant, metric, promoted, labels_key, labels_value, series_id;
    int ts, value, value_i, value_e, st, h_number, h_chunk, hlc; /* h_number: the first of five */
    int count; /* of rollups: the last that is never null */
};

/* A column whose nulls are not written page by page but in one page up to the next value: most have none. */
struct block_sparse {
    uint64_t pending; /* nulls of data pages that have ended */
    uint64_t here;    /* nulls of the open data page, while it has no value */
    bool filled;      /* the open data page has a value */
};
enum {
    SPARSE_VALUE,
    SPARSE_VALUE_I,
    SPARSE_VALUE_E,
    SPARSE_ST,
    SPARSE_H_NUMBER,
    SPARSE_H_CHUNK = SPARSE_H_NUMBER + BLOCK_HISTOGRAM_COLUMNS,
    SPARSE_HLC,
    SPARSE_COUNT
};

/* Of a rollup: the columns of enum mrd_rollup_column, then these. Its count is not sparse: it is never null. */
enum {
    SPARSE_STATE = MRD_ROW_COLUMNS,
    SPARSE_INCREASE,
    SPARSE_HISTOGRAMS,
    SPARSE_ROLLUP_COUNT,
    SPARSE_MAX = SPARSE_ROLLUP_COUNT
};
_Static_assert((int)SPARSE_COUNT <= (int)SPARSE_MAX, "one array has room for either");

/* Where a sparse column goes. */
struct block_sparse_place {
    int leaf;     /* of the Parquet file; -1: not in this one */
    int mbx_leaf; /* of the sidecar; -1: its pages are not listed */
};

/* The open run: rows of one series that will be in one page. Values are packed, `def` says which rows have one. What is in no row is
 * never written to nor read: a small block does not pay for the room of a large one. */
struct block_run {
    uint32_t rows;
    bool is_scaled;
    uint32_t value_count, st_count, h_count_count, chunk_count;
    uint32_t floats, histograms;

    /* chunks, end to end: a byte for the count, then as codec/histogram.h has it */
    struct mrd_buf chunk_bytes;
    struct mrd_buf chunk_ends; /* size_t: of those that have ended */
    bool chunk_open;
    size_t chunk_begin;
    uint32_t chunk_histograms;
    struct mrd_histogram_open open;
    struct mrd_buf counters; /* uint64_t, of the open chunk */
    struct mrd_buf entry;

    int64_t ts[MRD_BLOCK_PAGE_ROWS]; /* us; the first of those that are not cleared */
    double values[MRD_BLOCK_PAGE_ROWS];
    int64_t scaled
        [MRD_BLOCK_PAGE_ROWS]; /* compact layout: the values, if all of them are integers / 10^digits */
    int32_t digits[MRD_BLOCK_PAGE_ROWS]; /* all the same */
    uint8_t value_def[MRD_BLOCK_PAGE_ROWS];
    int64_t st[MRD_BLOCK_PAGE_ROWS];
    uint8_t st_def[MRD_BLOCK_PAGE_ROWS];
    uint8_t h_def[MRD_BLOCK_PAGE_ROWS];
    double h_count[MRD_BLOCK_PAGE_ROWS];
    double h_sum[MRD_BLOCK_PAGE_ROWS];
    int32_t h_schema[MRD_BLOCK_PAGE_ROWS];
    double h_zero_threshold[MRD_BLOCK_PAGE_ROWS];
    double h_zero_count[MRD_BLOCK_PAGE_ROWS];
    uint8_t chunk_def[MRD_BLOCK_PAGE_ROWS];
    int64_t hlc[MRD_BLOCK_PAGE_ROWS];
};

/* The open run of a rollup: values packed as of struct block_run. */
struct block_rollup_run {
    uint32_t rows;
    uint32_t flags;            /* of the segment: MBX_STALE, ... */
    struct mrd_buf states;     /* end to end */
    struct mrd_buf state_ends; /* size_t */

    int64_t ends_us[MRD_BLOCK_PAGE_ROWS]; /* the first of those that are not cleared */
    int64_t counts[MRD_BLOCK_PAGE_ROWS];
    struct {
        uint32_t count;
        uint8_t def[MRD_BLOCK_PAGE_ROWS];
        union {
            int64_t integers[MRD_BLOCK_PAGE_ROWS];
            double reals[MRD_BLOCK_PAGE_ROWS];
        };
    } columns
        [SPARSE_ROLLUP_COUNT]; /* that of MRD_ROW_COUNT and the values of the state are not used */
};

/* A Parquet file that is being written to the store. */
struct block_out {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control;
    char *key;
    struct mrd_objstore_upload *upload;
    struct mrd_pq_writer *parquet;
    void (*page)(void *context, const struct mrd_pq_page_info *page); /* may be NULL */
    void *context;
    struct mrd_pq_written written;  /* once it is finished */
    uint8_t tail[BLOCK_TAIL_BYTES]; /* its last bytes */
    size_t tail_size;
    uint64_t size;
};

/* The file of series. */
struct block_series_out {
    struct block_out out;
    size_t memory_max;
    uint64_t page_rows;
    uint64_t group_rows;
};

/* The part of the sidecar that a page belongs to has pages_first .. pages_first + pages_count. */
struct block_part {
    struct mbx_frame index;
    size_t pages_first;
    size_t pages_count;
    size_t spans_first;
    size_t spans_count;
    uint64_t tenants_count;
};

struct mrd_block_writer {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control;
    char *sidecar_key;
    char *id;
    unsigned level;
    struct mrd_block_schema schema;
    char *promoted_names; /* what the schema's promoted columns are called */
    bool compact;
    bool keep_hlc;
    mrd_time_ms resolution_ms; /* 0: samples */
    unsigned leaf_count;       /* columns whose pages the sidecar lists */
    int zstd_level;
    size_t bloom_bytes_max;
    size_t memory_max;
    struct mrd_block_writer_kit *kit;     /* or NULL */
    struct mrd_pq_compressor *compressor; /* of all files: the kit's, or our own */
    struct mrd_pq_compressor *own_compressor;

    struct block_out data;
    struct block_series_out *series_out; /* NULL: there is no file of series */
    struct block_leaves
        leaves; /* of the data file; those of names and ids are the same in the file of series */
    struct mbx_build build;
    bool broken; /* something failed half-way, or finished */

    /* the series at hand */
    bool any;                    /* there is one */
    bool begun;                  /* it has rows: the sidecar knows it */
    struct mrd_buf labels_text;  /* tenant, then the labels' texts */
    struct mrd_buf labels_items; /* struct mrd_label, into labels_text */
    struct mrd_buf canonical;
    struct mrd_block_series series; /* tenant, labels, id */
    mrd_time_ms first_ms;           /* of its first and last row; valid with begun */
    mrd_time_ms last_ms;
    uint64_t series_rows; /* likewise */
    uint64_t tenant_seed;
    bool tenant_begun;   /* the sidecar knows the tenant */
    struct mrd_buf rep;  /* repetition levels of the labels: 0, 1, 1, ... */
    struct mrd_buf keys; /* struct mrd_bytes: of the labels but the metric name */
    struct mrd_buf label_values;
    struct block_run *run; /* one of the two */
    struct block_rollup_run *rollup_run;

    /* the open page and row group */
    uint32_t page_rows;
    size_t page_chunk_bytes;
    bool page_begins; /* the next run begins a page */
    struct block_sparse sparse[SPARSE_MAX];
    struct block_sparse_place places[SPARSE_MAX];
    unsigned sparse_count;
    uint64_t label_rows; /* of the open pages of labels */
    size_t label_bytes;  /* what they may take at most */
    uint64_t group_rows;
    struct mrd_buf
        pages; /* struct mbx_page: of the block; their leaves are found by block_page_leaves */
    struct mrd_buf page_leaves; /* struct mbx_page_at, leaf_count for each page */
    struct mrd_buf
        page_rows_at; /* uint64_t: first row in the row group; of the open row group's pages */
    size_t group_pages_first; /* in pages */
    size_t report_at[MBX_LEAVES_MAX];
    struct mrd_buf parts; /* struct block_part */
    size_t part_pages_first;
    size_t part_spans_first;
    bool stamps_aside;            /* they are beside the columns: above level 0 */
    struct mbx_stamping stamping; /* these */

    uint64_t series_count;
    uint64_t rows;
};

static inline struct mbx_page *block_pages(const struct mrd_block_writer *writer, size_t *out_count)
{
    *out_count = writer->pages.size / sizeof(struct mbx_page);
    return (struct mbx_page *)(void *)writer->pages.data;
}

static inline struct mbx_page_at *block_page_leaves(const struct mrd_block_writer *writer,
                                                    size_t page)
{
    return (struct mbx_page_at *)(void *)writer->page_leaves.data + page * writer->leaf_count;
}

/* Rows of the series at hand that are in no page yet. */
static inline uint32_t block_open_rows(const struct mrd_block_writer *writer)
{
    return writer->resolution_ms == 0 ? writer->run->rows : writer->rollup_run->rows;
}

/* ---- writer_run.c ---- */

/* Adds the rows of a piece that has been checked. */
enum mrd_status block_run_add(struct mrd_block_writer *writer, const struct mrd_block_series *piece,
                              struct mrd_error *err);
/* Ends the open chunk of histograms: before the run is flushed. */
void block_run_close_chunk(struct block_run *run);
void block_run_clear(struct block_run *run);
struct block_run *block_run_create(void);
void block_run_destroy(struct block_run **run);

/* ---- writer_page.c ---- */

/* A schema as columns of a file; their names are lent. */
void block_columns_of(const struct mrd_block_schema *schema,
                      const struct mrd_block_writer_options *of,
                      struct mrd_pq_column out[MRD_BLOCK_COLUMNS_MAX]);

/* Makes the columns and opens the data file. */
enum mrd_status block_columns_open(struct mrd_block_writer *writer,
                                   const struct mrd_block_writer_options *of,
                                   struct mrd_error *err);

/* Moves the run to the pages; nothing if it is empty. */
enum mrd_status block_run_flush(struct mrd_block_writer *writer, struct mrd_error *err);

/* What runs of both kinds do: a page has room for `rows`, then the columns that say which series it is. */
enum mrd_status block_page_room(struct mrd_block_writer *writer, uint32_t rows,
                                struct mrd_error *err);
enum mrd_status block_append_series(struct mrd_block_writer *writer, uint32_t rows,
                                    struct mrd_error *err);
/* Metric, promoted labels, labels and id of the series at hand, in a file whose leaves of these are those of the data file. */
enum mrd_status block_append_names(struct mrd_block_writer *writer, struct mrd_pq_writer *parquet,
                                   uint32_t rows, struct mrd_error *err);
enum mrd_status block_append_sparse(struct mrd_block_writer *writer, unsigned which,
                                    const struct mrd_pq_batch *batch, struct mrd_error *err);
/* The run is in the page. */
enum mrd_status block_page_add(struct mrd_block_writer *writer, uint32_t rows, size_t chunk_bytes,
                               struct mrd_error *err);

/* ---- writer_rollup.c ---- */

/* MRD_E_INVALID says what is wrong with a row, if something is. */
enum mrd_status block_rows_check(const struct mrd_block_writer *writer,
                                 const struct mrd_rollup_row *rows, size_t count,
                                 const char **out_wrong);
enum mrd_status block_rows_add(struct mrd_block_writer *writer, const struct mrd_rollup_row *rows,
                               size_t count, struct mrd_error *err);
enum mrd_status block_rows_flush(struct mrd_block_writer *writer, struct mrd_error *err);
struct block_rollup_run *block_rollup_run_create(void);
void block_rollup_run_clear(struct block_rollup_run *run);
void block_rollup_run_destroy(struct block_rollup_run **run);

enum mrd_status block_page_cut(struct mrd_block_writer *writer, struct mrd_error *err);
enum mrd_status block_group_end(struct mrd_block_writer *writer, struct mrd_error *err);

/* Where the Parquet writer put a page. */
void block_page_reported(void *context, const struct mrd_pq_page_info *page);

/* ---- writer_file.c ---- */

/* Begins a file with store, control, key (on the heap, it is the file's), page and context set and all else zero. */
enum mrd_status block_out_open(struct block_out *out, const struct mrd_pq_writer_options *options,
                               struct mrd_error *err);
void block_out_close(struct block_out *out);

/* Ends the file: it is durable, if not looked at yet. MRD_E_LIMIT: too many row groups. */
enum mrd_status block_out_finish(struct block_out *out, struct mrd_error *err);

/* Reads the end of an object back and compares; the second, of a file that is finished. */
enum mrd_status block_verify_tail(struct mrd_objstore *store,
                                  const struct mrd_objstore_control *control, const char *key,
                                  uint64_t size, struct mrd_bytes tail, struct mrd_error *err);
enum mrd_status block_out_verify(const struct block_out *out, struct mrd_error *err);

/* What the catalog keeps of a finished file; MRD_E_LIMIT from the arena. */
enum mrd_status block_out_list(const struct block_out *out, struct mrd_arena *arena,
                               struct mrd_block_listed_file *listed, struct mrd_error *err);

/* ---- writer_series.c ---- */

enum mrd_status block_series_open(struct mrd_block_writer *writer,
                                  const struct mrd_block_writer_options *options,
                                  struct mrd_error *err);
/* The series at hand, which has rows, has ended. */
enum mrd_status block_series_add(struct mrd_block_writer *writer, struct mrd_error *err);
enum mrd_status block_series_finish(struct mrd_block_writer *writer, struct mrd_arena *arena,
                                    struct mrd_block_listed_file *out, struct mrd_error *err);
size_t block_series_memory(const struct mrd_block_writer *writer);
void block_series_close(struct mrd_block_writer *writer);

/* ---- writer_kit.c: all of these take NULL for a kit that has nothing and keeps nothing ---- */

struct block_run *block_kit_take_run(struct mrd_block_writer_kit *kit);
void block_kit_give_run(struct mrd_block_writer_kit *kit, struct block_run **run);
struct block_rollup_run *block_kit_take_rollup_run(struct mrd_block_writer_kit *kit);
void block_kit_give_rollup_run(struct mrd_block_writer_kit *kit, struct block_rollup_run **run);
/* Lent; NULL: make one. */
struct mrd_pq_compressor *block_kit_compressor(struct mrd_block_writer_kit *kit, int level);

/* ---- writer.c ---- */

enum mrd_status block_tenant_end(struct mrd_block_writer *writer, struct mrd_error *err);
enum mrd_status block_part_end(struct mrd_block_writer *writer, struct mrd_error *err);
/* The series at hand has ended, with all its rows in pages. */
enum mrd_status block_series_end(struct mrd_block_writer *writer, struct mrd_error *err);
enum mrd_status block_check_memory(struct mrd_block_writer *writer, struct mrd_error *err);

#endif
