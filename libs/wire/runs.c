#include "wire/runs_internal.h"

#include "wire/protobuf_internal.h"

/* A shorter run costs less among literals. */
enum { RUN_MIN = 4 };

static uint8_t *put_literals(uint8_t *at, const uint64_t *values, size_t count)
{
    if (count == 0) {
        return at;
    }
    at += mrd_varint_put(at, (uint64_t)count << 1);
    for (size_t i = 0; i < count; i++) {
        at += mrd_varint_put(at, values[i]);
    }
    return at;
}

static uint8_t *put_run(uint8_t *at, uint64_t value, size_t count)
{
    at += mrd_varint_put(at, (uint64_t)count << 1 | 1);
    return at + mrd_varint_put(at, value);
}

void mrd_runs_write(struct mrd_buf *out, const uint64_t *values, size_t count)
{
    uint8_t *start = mrd_buf_reserve(out, mrd_runs_size_max(count));
    if (start == NULL) {
        return;
    }
    uint8_t *at = start;
    size_t literal_start = 0;
    size_t i = 0;
    while (i < count) {
        size_t end = i + 1;
        while (end < count && values[end] == values[i]) {
            end++;
        }
        if (end - i >= RUN_MIN) {
            at = put_literals(at, values + literal_start, i - literal_start);
            at = put_run(at, values[i], end - i);
            literal_start = end;
        }
        i = end;
    }
    at = put_literals(at, values + literal_start, count - literal_start);
    out->size += (size_t)(at - start);
}

bool mrd_runs_read(struct mrd_reader *reader, uint64_t *values, size_t count)
{
    const uint8_t *at = reader->at;
    const uint8_t *end = reader->end;
    size_t done = 0;
    while (done < count) {
        uint64_t head;
        if (!mrd_pb_varint(&at, end, &head) || head >> 1 == 0 || head >> 1 > count - done) {
            return mrd_reader_fail(reader);
        }
        const size_t group_end = done + (size_t)(head >> 1);
        if ((head & 1) != 0) {
            uint64_t value;
            if (!mrd_pb_varint(&at, end, &value)) {
                return mrd_reader_fail(reader);
            }
            while (done < group_end) {
                values[done++] = value;
            }
        } else {
            while (done < group_end) {
                if (mrd_unlikely(!mrd_pb_varint(&at, end, &values[done++]))) {
                    return mrd_reader_fail(reader);
                }
            }
        }
    }
    reader->at = at;
    return true;
}
