package peers;

import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.Stores;

/** Normalizes and deduplicates the raw topic, exactly once, until SIGTERM; settings come from the environment. */
public final class Main {
  static final String STORE = "owners";

  private Main() {}

  public static void main(String[] arguments) {
    Map<String, String> env = System.getenv();
    KafkaStreams streams = new KafkaStreams(topology(env.get("BENCH_INPUT"), env.get("BENCH_OUTPUT")), config(env));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
    streams.start();
  }

  private static Topology topology(String input, String output) {
    return new Topology()
        .addSource("raw", input)
        .addProcessor("normalize", Normalizer::new, "raw")
        .addStateStore(
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.Long()),
            "normalize")
        .addSink("events", output, "normalize");
  }

  private static Properties config(Map<String, String> env) {
    Properties config = new Properties();
    config.put(StreamsConfig.APPLICATION_ID_CONFIG, env.get("BENCH_GROUP"));
    config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env.get("KAFKA_BOOTSTRAP_SERVERS"));
    config.put(StreamsConfig.STATE_DIR_CONFIG, env.get("BENCH_STATE_DIR"));
    config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    // Two threads are no faster where broker and program share two cores.
    config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    config.put(StreamsConfig.consumerPrefix("max.poll.records"), 5000);
    config.put(StreamsConfig.producerPrefix("acks"), "all");
    config.put(StreamsConfig.producerPrefix("batch.size"), 131072);
    return config;
  }
}
