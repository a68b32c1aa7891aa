// Blocks of the encoder: attention and MLP, on the tokens of a group of images.
#pragma once
#include "attention.h"
#include "attention_amx.h"
#include "attention_int16.h"
#include "stem.h"
#include "team.h"

namespace levit::LEVIT_TARGET {

// The residual stream of a group of images. It is encoded for `reader`, the next layer that is not in fp32, if there is one.
struct Stream {
  float *values, *next_values;
  uint8_t *codes, *next_codes;
  const Layer* reader;

  bool is_encoded_for(const Layer& layer) const {
    if (reader == nullptr || reader->precision != layer.precision) return false;
    return layer.precision == Precision::bf16 || reader->input == layer.input;
  }
};

// Input of a layer from the stream, encoded once more where the stream is encoded for another layer.
inline Input stream_input(const Layer& layer, const Stream& stream, Workspace& w, int rows, int width, const Member& member) {
  Input input{stream.values, stream.codes, width, 0};
  if (is_encoded(layer) && !stream.is_encoded_for(layer)) {
    const Index first = Index(member.begin(rows)) * width, last = Index(member.end(rows)) * width;
    member.wait();  // the last reader of these codes has ended
    encode(layer, stream.values + first, last - first, element(layer, w.other_codes, first));
    member.wait();
    input.codes = w.other_codes;
  }
  return input;
}

// Every stride-th token in both directions, of each image.
inline Input choose_tokens(const Attention& a, const Input& in, Workspace& w, int images, const Member& member) {
  const Index bytes = in.row * encoded_bytes(a.query.precision);
  const auto* source = reinterpret_cast<const uint8_t*>(in.values);
  auto* chosen = reinterpret_cast<uint8_t*>(w.chosen);
  if (is_encoded(a.query)) source = in.codes, chosen = w.chosen_codes;
  const int rows = images * a.out_height;
  for (int row = member.begin(rows); row < member.end(rows); row++) {
    const int image = row / a.out_height, y = row % a.out_height;
    for (int x = 0; x < a.out_width; x++) {
      const Index from = Index(image) * a.keys() + Index(y) * a.stride * a.in_width + Index(x) * a.stride;
      __builtin_memcpy(chosen + (Index(row) * a.out_width + x) * bytes, source + from * bytes, bytes);
    }
  }
  member.wait();
  return {w.chosen, w.chosen_codes, in.row, 0};
}

inline void apply_part(const Layer& layer, const Input& in, int rows, const Output& out, const Member& member) {
  apply_layer(layer, in, rows, member.begin(layer.panels()), member.end(layer.panels()), out);
}

// Hidden values of a block, in the form that the next layer reads.
INLINE Output hidden_output(const Layer& next, float* values, uint8_t* codes, int width, Activation activation) {
  Output out{is_encoded(next) ? nullptr : values, nullptr, width, nullptr, {1, 0}, activation};
  encode_for(&next, codes, out);
  return out;
}

// Whether attention is computed in bf16: where AMX makes it faster and its input is no more exact.
INLINE bool is_bf16(const Model& m, const Attention& a) {
  return HAS_AMX && m.allows_16_bit && is_encoded(a.query) && is_encoded(a.key) && is_encoded(a.value);
}

// Whether it is computed in int16, on other processors where that is faster than in fp32.
INLINE bool is_int16(const Model& m, const Attention& a) {
  return !HAS_AMX && INT16_IS_FASTER && m.allows_16_bit && a.keys() <= MAX_INT16_KEYS && is_encoded(a.query) && is_encoded(a.key) && is_encoded(a.value);
}

INLINE Output rows_output(const Model& m, const Attention& a, float* rows, Index width) {
  Output out{rows, nullptr, width, nullptr, {1, 0}, Activation::none};
  if (is_bf16(m, a)) out.values = nullptr, out.bf16 = reinterpret_cast<uint16_t*>(rows);
  return out;
}

inline void attend_heads(const Model& m, const Attention& a, Workspace& w, Scratch& scratch, int images, const Member& member) {
  const Index key_width = Index(a.heads) * a.key_dim, value_width = Index(a.heads) * a.value_dim;
  const float* queries = w.rows;
  const float* keys = queries + w.images * a.queries() * key_width;
  const float* values = keys + w.images * a.keys() * key_width;
  const int padded = (a.keys() + LANES - 1) / LANES * LANES;
  const Output context = hidden_output(a.projection, w.context, w.context_codes, value_width, m.attention_activation);
  const int parts = images * a.heads % member.count ? member.count : 1;  // of the queries of a head
  const int units = images * a.heads * parts;
  for (int unit = member.begin(units); unit < member.end(units); unit++) {
    const int part = unit % parts, image = unit / parts % images, head = unit / parts / images;
    const Index query_at = Index(image) * a.queries(), key_at = Index(image) * a.keys();
    const int first = a.queries() * part / parts, last = a.queries() * (part + 1) / parts;
    const Output out = moved(context, query_at * value_width + head * a.value_dim);
    if (is_bf16(m, a)) {
      const auto rows = [](const float* from) { return reinterpret_cast<const uint16_t*>(from); };
      const Bf16Head h{&a, head, rows(queries) + query_at * key_width + head * a.key_dim, rows(keys) + key_at * key_width + head * a.key_dim,
                       rows(values) + key_at * value_width + head * a.value_dim, key_width, key_width, value_width,
                       a.keys(), a.key_dim, a.value_dim};
      attend_bf16(h, first, last, scratch, out);
      continue;
    }
    const Head h{&a, head, queries + query_at * key_width + head * a.key_dim,
                 keys + key_at * key_width + head * a.key_dim,
                 values + key_at * value_width + head * a.value_dim,
                 key_width, key_width, value_width, a.keys(), padded, a.key_dim, a.value_dim};
    if (is_int16(m, a)) attend_int16(h, first, last, scratch, out);
    else attend(h, first, last, scratch, out);
  }
}

// The stream after the block, encoded for `next`, the next layer that is not in fp32; nullptr if there is none.
INLINE Output stream_output(Stream& stream, bool is_residual, int width, const Layer* next) {
  if (!is_residual) {
    float* values = stream.values;
    uint8_t* codes = stream.codes;
    stream.values = stream.next_values, stream.next_values = values;
    stream.codes = stream.next_codes, stream.next_codes = codes;
  }
  stream.reader = next;
  Output out{stream.values, nullptr, width, is_residual ? stream.values : nullptr, {1, 0}, Activation::none};
  encode_for(next, stream.codes, out);
  return out;
}

inline void run_attention(const Model& m, const Attention& a, Stream& stream, Workspace& w, Scratch& scratch, int images,
                          const Layer* next, const Member& member) {
  const int in_rows = images * a.keys(), out_rows = images * a.queries(), width = a.query.inputs;
  const Index key_width = Index(a.heads) * a.key_dim, value_width = Index(a.heads) * a.value_dim;
  float* queries = w.rows;
  float* keys = queries + w.images * a.queries() * key_width;
  float* values = keys + w.images * a.keys() * key_width;
  Input in = stream_input(a.query, stream, w, in_rows, width, member);
  if (!a.is_residual) in = choose_tokens(a, in, w, images, member);
  apply_part(a.query, in, out_rows, rows_output(m, a, queries, key_width), member);
  in = stream_input(a.key, stream, w, in_rows, width, member);
  apply_part(a.key, in, in_rows, rows_output(m, a, keys, key_width), member);
  in = stream_input(a.value, stream, w, in_rows, width, member);
  apply_part(a.value, in, in_rows, rows_output(m, a, values, value_width), member);
  member.wait();
  attend_heads(m, a, w, scratch, images, member);
  member.wait();
  const Input context{w.context, w.context_codes, value_width, 0};
  apply_part(a.projection, context, out_rows, stream_output(stream, a.is_residual, a.projection.outputs, next), member);
  member.wait();
}

inline void run_mlp(const Model& m, const Mlp& mlp, Stream& stream, Workspace& w, int rows, const Layer* next, const Member& member) {
  const Input in = stream_input(mlp.up, stream, w, rows, mlp.up.inputs, member);
  apply_part(mlp.up, in, rows, hidden_output(mlp.down, w.hidden, w.hidden_codes, mlp.up.outputs, m.mlp_activation), member);
  member.wait();
  const Input hidden{w.hidden, w.hidden_codes, mlp.up.outputs, 0};
  apply_part(mlp.down, hidden, rows, stream_output(stream, true, mlp.down.outputs, next), member);
  member.wait();
}

}  // namespace levit::LEVIT_TARGET
