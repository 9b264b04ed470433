/* Requests of the REST catalog from hostile bytes: a method, a path, parameters and headers, each a line. */
#include "iceberg/rest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum mrd_status list(void *context, struct mrd_bytes tenant,
                            const struct mrd_objstore_control *control, struct mrd_arena *arena,
                            const char *const **out_names, size_t *out_count, struct mrd_error *err)
{
    static const char *const names[] = {"samples", "series"};
    (void)context, (void)tenant, (void)control, (void)arena, (void)err;
    *out_names = names;
    *out_count = MRD_ARRAY_LEN(names);
    return MRD_OK;
}

static enum mrd_status find(void *context, struct mrd_bytes tenant, struct mrd_bytes name,
                            const struct mrd_objstore_control *control, struct mrd_arena *arena,
                            struct mrd_iceberg_place *out, struct mrd_error *err)
{
    (void)context, (void)tenant, (void)control, (void)arena, (void)out;
    return mrd_fail(err, name.size % 2 == 0 ? MRD_E_NOT_FOUND : MRD_E_UNAVAILABLE, "%.*s",
                    (int)MRD_MIN(name.size, (size_t)400), (const char *)name.data);
}

static struct mrd_bytes next_line(struct mrd_reader *in)
{
    const uint8_t *end =
        mrd_reader_left(in) == 0 ? NULL : memchr(in->at, '\n', mrd_reader_left(in));
    const struct mrd_bytes line =
        mrd_read_bytes(in, end == NULL ? mrd_reader_left(in) : (size_t)(end - in->at));
    if (end != NULL) {
        (void)mrd_read_u8(in);
    }
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mrd_iceberg_source source = {NULL, list, find};
    const struct mrd_iceberg_rest rest = {"eu", &source, 1 << 20};
    struct mrd_reader in = mrd_reader_of((struct mrd_bytes){data, size});
    const struct mrd_iceberg_rest_request request = {
        .method = (enum mrd_iceberg_rest_method)(mrd_read_u8(&in) % 4),
        .path = next_line(&in),
        .tenant = MRD_BYTES("acme"),
        .warehouse = next_line(&in),
        .parent = next_line(&in),
        .snapshots = next_line(&in),
        .if_none_match = next_line(&in),
        .catalog = next_line(&in),
    };
    struct mrd_iceberg_rest_reply reply = {0};
    mrd_iceberg_rest_answer(&rest, &request, &reply);
    mrd_assert(reply.status >= 200 && reply.status < 600);
    mrd_buf_fini(&reply.body);
    return 0;
}
