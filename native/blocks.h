// Blocks of the encoder: attention and MLP, on the tokens of a group of images.
#pragma once
#include "attention.h"
#include "attention_bf16.h"
#include "stem.h"
#include "team.h"

namespace levit::LEVIT_TARGET {

// The residual stream of a group of images, with its codes for the next layer in int8, if `has_codes`.
struct Stream {
  float *values, *next_values;
  uint8_t *codes, *next_codes;
  Quantization quantization;
  bool has_codes;
};

// Input of a layer from the stream. A layer with another quantization than the codes of the stream has its own.
inline Input stream_input(const Layer& layer, const Stream& stream, Workspace& w, int rows, int width, const Member& member) {
  Input input{stream.values, stream.codes, width, 0};
  if (is_int8(layer) && !(stream.has_codes && stream.quantization == layer.input)) {
    const long first = long(member.begin(rows)) * width, last = long(member.end(rows)) * width;
    member.wait();  // the last reader of these codes has ended
    quantize(stream.values + first, last - first, layer.input, w.other_codes + first);
    member.wait();
    input.codes = w.other_codes;
  }
  return input;
}

// Every stride-th token in both directions, of each image.
inline Input choose_tokens(const Attention& a, const Input& in, bool codes, Workspace& w, int images, const Member& member) {
  const int rows = images * a.out_height;
  for (int row = member.begin(rows); row < member.end(rows); row++) {
    const int image = row / a.out_height, y = row % a.out_height;
    for (int x = 0; x < a.out_width; x++) {
      const long from = (long(image) * a.keys() + long(y) * a.stride * a.in_width + long(x) * a.stride) * in.row;
      const long to = (long(row) * a.out_width + x) * in.row;
      if (codes) __builtin_memcpy(w.chosen_codes + to, in.codes + from, in.row);
      else __builtin_memcpy(w.chosen + to, in.values + from, in.row * sizeof(float));
    }
  }
  member.wait();
  return {w.chosen, w.chosen_codes, in.row, 0};
}

inline void apply_part(const Layer& layer, const Input& in, int rows, const Output& out, const Member& member) {
  apply_layer(layer, in, rows, member.begin(layer.panels()), member.end(layer.panels()), out);
}

// Hidden values of a block, in the form that the next layer needs.
INLINE Output hidden_output(const Layer& next, float* values, uint8_t* codes, int width, Activation activation) {
  if (is_int8(next)) return {nullptr, codes, width, nullptr, next.input, activation};
  return {values, nullptr, width, nullptr, {1, 0}, activation};
}

// Whether attention is computed in bf16: where its input is in int8, which is coarser, and AMX makes it faster.
INLINE bool is_half(const Attention& a) {
  return HAS_AMX && is_int8(a.query) && is_int8(a.key) && is_int8(a.value) && is_int8(a.projection);
}

INLINE Output rows_output(const Attention& a, float* rows, long width) {
  Output out{rows, nullptr, width, nullptr, {1, 0}, Activation::none};
  if (is_half(a)) out.values = nullptr, out.halves = reinterpret_cast<uint16_t*>(rows);
  return out;
}

inline void attend_heads(const Attention& a, const Activation activation, Workspace& w, Scratch& scratch, int images, const Member& member) {
  const long key_width = long(a.heads) * a.key_dim, value_width = long(a.heads) * a.value_dim;
  const float* queries = w.rows;
  const float* keys = queries + w.images * a.queries() * key_width;
  const float* values = keys + w.images * a.keys() * key_width;
  const int padded = (a.keys() + LANES - 1) / LANES * LANES;
  const Output context = hidden_output(a.projection, w.context, w.context_codes, value_width, activation);
  const int parts = images * a.heads % member.count ? member.count : 1;  // of the queries of a head
  const int units = images * a.heads * parts;
  for (int unit = member.begin(units); unit < member.end(units); unit++) {
    const int part = unit % parts, image = unit / parts % images, head = unit / parts / images;  // a head's bias stays in the cache
    const long query_at = long(image) * a.queries(), key_at = long(image) * a.keys();
    const float* bias = a.bias + long(head) * a.queries() * padded;
    const int first = a.queries() * part / parts, last = a.queries() * (part + 1) / parts;
    Output out = context;
    const long at = query_at * value_width + head * a.value_dim;
    if (out.values) out.values += at;
    if (out.codes) out.codes += at;
    if (is_half(a)) {
      const auto rows = [](const float* from) { return reinterpret_cast<const uint16_t*>(from); };
      const HalfHead h{rows(queries) + query_at * key_width + head * a.key_dim, rows(keys) + key_at * key_width + head * a.key_dim,
                       rows(values) + key_at * value_width + head * a.value_dim, bias, key_width, key_width, value_width,
                       a.keys(), a.key_dim, a.value_dim};
      attend_bf16(h, first, last, scratch, out);
      continue;
    }
    const Head h{queries + query_at * key_width + head * a.key_dim,
                 keys + key_at * key_width + head * a.key_dim,
                 values + key_at * value_width + head * a.value_dim,
                 bias,
                 key_width, key_width, value_width, a.keys(), padded, a.key_dim, a.value_dim};
    transpose_keys(h, scratch.keys);
    attend(h, scratch.keys, first, last, scratch.scores, out);
  }
}

// The stream after the block, with codes for `next`, the next layer in int8; nullptr if there is none.
INLINE Output stream_output(Stream& stream, bool is_residual, int width, const Layer* next) {
  if (!is_residual) {
    float* values = stream.values;
    uint8_t* codes = stream.codes;
    stream.values = stream.next_values, stream.next_values = values;
    stream.codes = stream.next_codes, stream.next_codes = codes;
  }
  stream.has_codes = next != nullptr;
  stream.quantization = next ? next->input : Quantization{1, 0};
  return {stream.values, next ? stream.codes : nullptr, width, is_residual ? stream.values : nullptr, stream.quantization, Activation::none};
}

inline void run_attention(const Model& m, const Attention& a, Stream& stream, Workspace& w, Scratch& scratch, int images,
                          const Layer* next, const Member& member) {
  const int in_rows = images * a.keys(), out_rows = images * a.queries(), width = a.query.inputs;
  const long key_width = long(a.heads) * a.key_dim, value_width = long(a.heads) * a.value_dim;
  float* queries = w.rows;
  float* keys = queries + w.images * a.queries() * key_width;
  float* values = keys + w.images * a.keys() * key_width;
  Input in = stream_input(a.query, stream, w, in_rows, width, member);
  if (!a.is_residual) in = choose_tokens(a, in, is_int8(a.query), w, images, member);
  apply_part(a.query, in, out_rows, rows_output(a, queries, key_width), member);
  in = stream_input(a.key, stream, w, in_rows, width, member);
  apply_part(a.key, in, in_rows, rows_output(a, keys, key_width), member);
  in = stream_input(a.value, stream, w, in_rows, width, member);
  apply_part(a.value, in, in_rows, rows_output(a, values, value_width), member);
  member.wait();
  attend_heads(a, m.activation, w, scratch, images, member);
  member.wait();
  const Input context{w.context, w.context_codes, value_width, 0};
  apply_part(a.projection, context, out_rows, stream_output(stream, a.is_residual, a.projection.outputs, next), member);
  member.wait();
}

inline void run_mlp(const Model& m, const Mlp& mlp, Stream& stream, Workspace& w, int rows, const Layer* next, const Member& member) {
  const Input in = stream_input(mlp.up, stream, w, rows, mlp.up.inputs, member);
  apply_part(mlp.up, in, rows, hidden_output(mlp.down, w.hidden, w.hidden_codes, mlp.up.outputs, m.activation), member);
  member.wait();
  const Input hidden{w.hidden, w.hidden_codes, mlp.up.outputs, 0};
  apply_part(mlp.down, hidden, rows, stream_output(stream, true, mlp.down.outputs, next), member);
  member.wait();
}

}  // namespace levit::LEVIT_TARGET
