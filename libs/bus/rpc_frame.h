/* rpc_frame.h: the bytes of rpc messages. Little-endian; layout in docs/formats/rpc.md.
 *
 * Answers go to the request's reply subject followed by MRD_RPC_ANSWER_SUFFIX. The reply subject itself hears nothing but NATS'
 * own "no responders", which the library does not tell whom it concerns where a thread waits for messages itself.
 *
 *   request   u8 version, u8 kind, u16 0, u32 window, u64 milliseconds until the deadline, request
 *   others    u8 version, u8 kind, u16 status, u32 number, payload
 */
#ifndef MRD_BUS_RPC_FRAME_H
#define MRD_BUS_RPC_FRAME_H

#include "base/bytes.h"
#include "bus/rpc.h"

#define MRD_RPC_ANSWER_SUFFIX ".d"
enum { MRD_RPC_SUBJECT_MAX = 256 };

enum { MRD_RPC_VERSION = 2, MRD_RPC_REQUEST_BYTES = 16 };

enum mrd_rpc_frame_kind {
    MRD_RPC_FRAME_REQUEST = 1,
    /* server to client; number counts all but ALIVE from 0. The reply subject of DATA and ALIVE is where
     * CREDIT and CANCEL go */
    MRD_RPC_FRAME_DATA = 2,
    MRD_RPC_FRAME_END = 3,   /* payload: the last bytes of the answer */
    MRD_RPC_FRAME_ERROR = 4, /* status; payload: text */
    MRD_RPC_FRAME_ALIVE = 5, /* number is not counted */
    /* client to server */
    MRD_RPC_FRAME_CREDIT = 6, /* number: so many more chunks */
    MRD_RPC_FRAME_CANCEL = 7,
};

struct mrd_rpc_frame {
    enum mrd_rpc_frame_kind kind;
    enum mrd_status status;
    uint32_t number;
    struct mrd_bytes payload;
};

static inline void mrd_rpc_frame_put(uint8_t out[MRD_RPC_FRAME_BYTES], enum mrd_rpc_frame_kind kind,
                                     enum mrd_status status, uint32_t number)
{
    const uint16_t status_bits = (uint16_t)status;
    out[0] = MRD_RPC_VERSION;
    out[1] = (uint8_t)kind;
    memcpy(out + 2, &status_bits, 2);
    memcpy(out + 4, &number, 4);
}

static inline bool mrd_rpc_frame_get(struct mrd_bytes bytes, struct mrd_rpc_frame *out)
{
    if (bytes.size < MRD_RPC_FRAME_BYTES || bytes.data[0] != MRD_RPC_VERSION ||
        bytes.data[1] < MRD_RPC_FRAME_DATA || bytes.data[1] > MRD_RPC_FRAME_CANCEL) {
        return false;
    }
    uint16_t status;
    memcpy(&status, bytes.data + 2, 2);
    memcpy(&out->number, bytes.data + 4, 4);
    if (status >= MRD_STATUS_COUNT) {
        return false;
    }
    out->kind = (enum mrd_rpc_frame_kind)bytes.data[1];
    out->status = (enum mrd_status)status;
    out->payload =
        (struct mrd_bytes){bytes.data + MRD_RPC_FRAME_BYTES, bytes.size - MRD_RPC_FRAME_BYTES};
    return true;
}

static inline void mrd_rpc_request_put(uint8_t out[MRD_RPC_REQUEST_BYTES], uint32_t window,
                                       uint64_t budget_ms)
{
    memset(out, 0, MRD_RPC_REQUEST_BYTES);
    out[0] = MRD_RPC_VERSION;
    out[1] = MRD_RPC_FRAME_REQUEST;
    memcpy(out + 4, &window, 4);
    memcpy(out + 8, &budget_ms, 8);
}

struct mrd_rpc_request {
    uint32_t window;
    uint64_t budget_ms;
    struct mrd_bytes payload;
};

static inline bool mrd_rpc_request_get(struct mrd_bytes bytes, struct mrd_rpc_request *out)
{
    if (bytes.size < MRD_RPC_REQUEST_BYTES || bytes.data[0] != MRD_RPC_VERSION ||
        bytes.data[1] != MRD_RPC_FRAME_REQUEST) {
        return false;
    }
    memcpy(&out->window, bytes.data + 4, 4);
    memcpy(&out->budget_ms, bytes.data + 8, 8);
    out->payload =
        (struct mrd_bytes){bytes.data + MRD_RPC_REQUEST_BYTES, bytes.size - MRD_RPC_REQUEST_BYTES};
    return out->window > 0;
}

#endif
