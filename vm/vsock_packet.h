/* SPDX-License-Identifier: Apache-2.0 */
/* Packets from the host to the guest, for virtio_vsock.c. */
#ifndef VM_VSOCK_PACKET_H
#define VM_VSOCK_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/virtq.h"

struct vsock_stream;

/*
 * Writes the next packet of s into the receive buffer (in_len ≥ the header's). Returns its bytes, 0 when s has nothing to
 * say after all. *ret_over: the stream ends with this packet.
 */
size_t vsock_packet_next(uint64_t guest_cid, struct vsock_stream *s, const struct virtq_chain *chain, bool *ret_over);
/* The reset for a packet that belongs to no stream. Returns its bytes. */
size_t vsock_packet_reset(uint64_t guest_cid, uint32_t guest_port, uint32_t host_port, const struct virtq_chain *chain);

#endif
