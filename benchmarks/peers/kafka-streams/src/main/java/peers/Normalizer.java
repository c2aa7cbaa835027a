package peers;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.regex.Pattern;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;

/** One call event a raw record, or nothing when its key has an owner: the same values and headers as ours. */
final class Normalizer implements Processor<byte[], byte[], byte[], byte[]> {
  private static final Pattern E164 = Pattern.compile("\\+[1-9][0-9]{5,14}");
  private static final DateTimeFormatter IN_UTC = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'");
  private static final byte[] SPEC_VERSION = "1.0".getBytes(UTF_8);
  private static final byte[] SOURCE = "ringover".getBytes(UTF_8);
  private static final byte[] JSON = "application/json".getBytes(UTF_8);

  private final ObjectMapper mapper = new ObjectMapper();
  private final MessageDigest sha256 = newSha256();
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<String, Long> owners;

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    this.owners = context.getStateStore(Main.STORE);
  }

  @Override
  public void process(Record<byte[], byte[]> raw) {
    try {
      RecordMetadata place = context.recordMetadata().orElseThrow();
      JsonNode body = mapper.readTree(raw.value());
      JsonNode call = object(body, "call");
      String event = text(body, "event");
      String id = text(call, "id");
      requireEndpoint(raw.headers(), event);
      String key = "ringover:" + event + ":" + id.replace("%", "%25").replace(":", "%3A");
      byte[] value = mapper.writeValueAsBytes(event.equals("call.started") ? started(id, call) : ended(id, call));
      Headers headers = headers(event, id, text(body, "timestamp"), place);
      if (owners.putIfAbsent(key, place.offset()) == null) {
        context.forward(new Record<>(raw.key(), value, raw.timestamp(), headers));
      }
    } catch (IOException error) {
      throw new IllegalArgumentException("the benchmark's records are all valid", error);
    }
  }

  private ObjectNode started(String id, JsonNode call) {
    ObjectNode value = mapper.createObjectNode();
    value.put("call_id", id);
    value.put("direction", text(call, "direction"));
    value.put("from_e164", number(call, "from"));
    value.put("to_e164", number(call, "to"));
    value.put("queue_id", call.path("queue_id").textValue());
    value.put("agent_ref", call.path("agent").path("id").textValue());
    return value;
  }

  private ObjectNode ended(String id, JsonNode call) {
    JsonNode seconds = call.path("duration_sec");
    require(seconds.isIntegralNumber() && seconds.canConvertToLong() && seconds.longValue() >= 0, "duration_sec");
    ObjectNode value = mapper.createObjectNode();
    value.put("call_id", id);
    value.put("duration_sec", seconds.longValue());
    value.put("hangup_cause", text(call, "hangup_cause"));
    value.put("disposition", text(call, "disposition"));
    return value;
  }

  private Headers headers(String event, String id, String timestamp, RecordMetadata place) {
    String time = OffsetDateTime.parse(timestamp).withOffsetSameInstant(ZoneOffset.UTC).format(IN_UTC);
    String name = "ringover|" + event + "|" + id + "|" + timestamp;
    String eventId = HexFormat.of().formatHex(sha256.digest(name.getBytes(UTF_8)));
    String owner = place.topic() + "/" + place.partition() + "/" + place.offset();
    return new RecordHeaders()
        .add("ce_specversion", SPEC_VERSION)
        .add("ce_type", event.getBytes(UTF_8))
        .add("ce_source", SOURCE)
        .add("ce_dataschema", ("urn:ringover-events:schema:" + event + ":v1").getBytes(UTF_8))
        .add("content-type", JSON)
        .add("ce_id", eventId.getBytes(UTF_8))
        .add("ce_subject", id.getBytes(UTF_8))
        .add("ce_time", time.getBytes(UTF_8))
        .add("ce_idempotencykey", ("ringover:" + event + ":" + id).getBytes(UTF_8))
        .add("ce_sourceoffset", owner.getBytes(UTF_8));
  }

  private static void requireEndpoint(Headers headers, String event) {
    Header endpoint = headers.lastHeader("endpoint");
    require(endpoint == null || new String(endpoint.value(), UTF_8).equals(event.replace('.', '-')), "endpoint");
  }

  private static JsonNode object(JsonNode parent, String field) {
    JsonNode found = parent.path(field);
    require(found.isObject(), field);
    return found;
  }

  private static String text(JsonNode parent, String field) {
    String found = parent.path(field).textValue();
    require(found != null && !found.isEmpty(), field);
    return found;
  }

  private static String number(JsonNode parent, String field) {
    String found = text(parent, field);
    require(E164.matcher(found).matches(), field);
    return found;
  }

  private static void require(boolean holds, String field) {
    if (!holds) {
      throw new IllegalArgumentException(field + " is not valid, but the benchmark's records all are");
    }
  }

  private static MessageDigest newSha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }
}
