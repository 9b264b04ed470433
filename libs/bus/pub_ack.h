/* pub_ack.h: reads JetStream's answer to a publish. Plain values, any thread. */
#ifndef MRD_BUS_PUB_ACK_H
#define MRD_BUS_PUB_ACK_H

#include "base/bytes.h"

struct mrd_pub_ack {
    bool stored;
    bool duplicate;
    uint64_t sequence;
    int code;       /* of an error: HTTP-like */
    int error_code; /* JetStream's own, 10077: the stream is full */
    char text[160]; /* of an error */
};

/* {"stream":"S","seq":1,"duplicate":true} or {"error":{"code":503,"err_code":10077,
 * "description":"..."},...}. False if it is neither. */
bool mrd_pub_ack_parse(struct mrd_bytes json, struct mrd_pub_ack *out);

#endif
