// pgjdbc: it prepares under a name what has run five times, and begins a transaction with the first statement that needs one.
import java.io.StringReader;
import java.io.StringWriter;
import java.net.URI;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public class Pgjdbc {
  interface Case {
    Object run() throws Exception;
  }

  interface Work {
    void run() throws SQLException;
  }

  static boolean failed = false;
  static String prefix = "";

  /** One line each: `ok NAME: WHAT IT SAW` or `not ok NAME: WHY`. See test/support/clients.ts, which reads them. */
  static void check(String name, Case run) {
    try {
      System.out.println("ok " + prefix + name + ": " + String.valueOf(run.run()).replace('\n', '|'));
    } catch (Throwable why) {
      failed = true;
      StringWriter trace = new StringWriter();
      why.printStackTrace(new java.io.PrintWriter(trace));
      System.out.println("not ok " + prefix + name + ": " + trace.toString().replace('\n', '|'));
    }
  }

  static String codeOf(Work work) {
    try {
      work.run();
      return "no error";
    } catch (SQLException error) {
      return error.getSQLState();
    }
  }

  static Connection connect(String... settings) throws SQLException {
    URI where = URI.create(System.getenv("DATABASE_URL"));
    String[] account = where.getUserInfo().split(":");
    Properties properties = new Properties();
    properties.put("user", account[0]);
    properties.put("password", account[1]);
    for (int i = 0; i < settings.length; i += 2) properties.put(settings[i], settings[i + 1]);
    return DriverManager.getConnection("jdbc:postgresql://" + where.getHost() + ":" + where.getPort() + where.getPath(), properties);
  }

  static Connection connection;

  static int update(String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
      return statement.executeUpdate();
    }
  }

  static List<List<Object>> query(String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
      return rows(statement.executeQuery());
    }
  }

  static List<List<Object>> rows(ResultSet result) throws SQLException {
    List<List<Object>> rows = new ArrayList<>();
    while (result.next()) {
      List<Object> row = new ArrayList<>();
      for (int i = 1; i <= result.getMetaData().getColumnCount(); i++) row.add(result.getObject(i));
      rows.add(row);
    }
    return rows;
  }

  public static void main(String[] args) throws Exception {
    for (String mode : new String[] {"extended", "extendedForPrepared", "extendedCacheEverything", "simple"}) {
      prefix = mode + ", ";
      connection = connect("preferQueryMode", mode);
      withConnection();
      connection.close();
    }
    prefix = "";
    check("settings", () -> {
      try (Connection other = connect("ApplicationName", "mine", "options", "-c statement_timeout=5s", "currentSchema", "pg_catalog", "readOnly", "true")) {
        connection = other;
        String settings = "SELECT current_setting('application_name'), current_setting('statement_timeout'), current_setting('search_path')";
        List<List<Object>> seen = query(settings + ", current_setting('extra_float_digits'), current_setting('client_encoding')");
        other.setClientInfo("ApplicationName", "other");
        other.setSchema("public");
        return List.of(seen, query(settings), other.getSchema(), codeOf(() -> update("CREATE TABLE never (id int)")));
      }
    });
    System.out.println("done");
    if (failed) System.exit(1);
  }

  static void withConnection() {
    check("a table", () -> List.of(
        update("DROP TABLE IF EXISTS users"),
        update("CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, born date, tags text[])")));
    check("create, read, update, delete", () -> {
      Array tags = connection.createArrayOf("text", new String[] {"a", "b"});
      int id;
      try (PreparedStatement insert = connection.prepareStatement("INSERT INTO users (name, tags) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
        insert.setString(1, "Ada");
        insert.setArray(2, tags);
        insert.executeUpdate();
        ResultSet keys = insert.getGeneratedKeys();
        keys.next();
        id = keys.getInt("id");
      }
      int made = update("INSERT INTO users (name) VALUES (?), (?)", "Bob", "Cyd");
      int updated = update("UPDATE users SET name = name || '!' WHERE id = ?", 2);
      int deleted = update("DELETE FROM users WHERE id = ?", 3);
      return List.of(id, made, updated, deleted, query("SELECT * FROM users ORDER BY id"));
    });
    check("prepared after five", () -> {
      List<Object> seen = new ArrayList<>();
      try (PreparedStatement statement = connection.prepareStatement("SELECT name, ?::int FROM users WHERE id = ?")) {
        for (int n = 0; n < 20; n++) {
          statement.setInt(1, n);
          statement.setInt(2, n % 3);
          seen.add(rows(statement.executeQuery()));
        }
      }
      return seen;
    });
    check("many statements", () -> {
      List<Object> seen = new ArrayList<>();
      for (int n = 0; n < 100; n++) seen.add(query("SELECT ?::int + " + n, n).get(0).get(0));
      return seen;
    });
    check("batches", () -> {
      try (PreparedStatement insert = connection.prepareStatement("INSERT INTO users (name) VALUES (?)")) {
        for (int n = 0; n < 300; n++) {
          insert.setString(1, "user " + n);
          insert.addBatch();
        }
        int made = insert.executeBatch().length;
        insert.setString(1, "lost");
        insert.addBatch();
        insert.setString(1, "Ada");
        insert.addBatch();
        String code = codeOf(() -> insert.executeBatch());
        return List.of(made, code, query("SELECT count(*) FROM users"));
      }
    });
    check("transactions and savepoints", () -> {
      connection.setAutoCommit(false);
      connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      update("INSERT INTO users (name) VALUES ('Dan')");
      Savepoint mine = connection.setSavepoint("mine");
      String code = codeOf(() -> update("INSERT INTO users (name) VALUES ('Ada')"));
      String aborted = codeOf(() -> query("SELECT 1"));
      connection.rollback(mine);
      Object inside = query("SELECT count(*), current_setting('transaction_isolation') FROM users");
      connection.rollback();
      connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
      connection.setReadOnly(true);
      String refused = codeOf(() -> update("DELETE FROM users"));
      connection.rollback();
      connection.setReadOnly(false);
      Object after = query("SELECT count(*), current_setting('transaction_isolation') FROM users");
      connection.commit();
      connection.setAutoCommit(true);
      return List.of(code, aborted, inside, refused, after);
    });
    check("errors", () -> List.of(
        codeOf(() -> query("SELECT nothing")),
        codeOf(() -> query("SELEC 1")),
        codeOf(() -> query("SELECT 1 / ?::int", 0)),
        codeOf(() -> update("INSERT INTO users (name) VALUES ('Ada')"))));
    check("a fetch size", () -> {
      connection.setAutoCommit(false);
      long sum = 0;
      try (Statement statement = connection.createStatement()) {
        statement.setFetchSize(50);
        ResultSet result = statement.executeQuery("SELECT generate_series(1, 1000)");
        while (result.next()) {
          sum += result.getInt(1);
          if (result.getRow() == 120) update("UPDATE users SET tags = '{x}' WHERE id = 1");
        }
        ResultSet left = statement.executeQuery("SELECT generate_series(1, 1000)");
        left.next();
      }
      connection.commit();
      connection.setAutoCommit(true);
      return sum;
    });
    check("several statements in one text", () -> {
      List<Object> seen = new ArrayList<>();
      try (Statement statement = connection.createStatement()) {
        boolean more = statement.execute("SELECT 1; UPDATE users SET born = now() WHERE id < 3; SELECT 2");
        while (more || statement.getUpdateCount() >= 0) {
          seen.add(more ? rows(statement.getResultSet()) : statement.getUpdateCount());
          more = statement.getMoreResults();
        }
      }
      return seen;
    });
    check("COPY both ways", () -> {
      var copy = connection.unwrap(PGConnection.class).getCopyAPI();
      StringBuilder lines = new StringBuilder();
      for (int n = 0; n < 1000; n++) lines.append("copied ").append(n).append('\n');
      long copied = copy.copyIn("COPY users (name) FROM STDIN", new StringReader(lines.toString()));
      StringWriter out = new StringWriter();
      long told = copy.copyOut("COPY (SELECT name FROM users) TO STDOUT", out);
      String code = codeOf(() -> {
        try {
          copy.copyIn("COPY users (name) FROM STDIN", new StringReader("a\tb\n"));
        } catch (java.io.IOException error) {
          throw new SQLException(error);
        }
      });
      return List.of(copied, told, out.toString().lines().count(), code);
    });
    check("what the driver asks of the catalog", () -> {
      var data = connection.getMetaData();
      List<Object> columns = new ArrayList<>();
      ResultSet found = data.getColumns(null, "public", "users", null);
      while (found.next()) columns.add(found.getString("COLUMN_NAME") + " " + found.getString("TYPE_NAME"));
      if (prefix.startsWith("simple")) return columns; // there nothing can be described
      try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM users WHERE id = ?")) {
        ResultSetMetaData described = statement.getMetaData();
        return List.of(columns, described.getColumnCount(), statement.getParameterMetaData().getParameterTypeName(1), rows(data.getPrimaryKeys(null, "public", "users")));
      }
    });
    check("after a change of the table", () -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM users WHERE id = 1")) {
        for (int n = 0; n < 6; n++) statement.executeQuery();
        update("ALTER TABLE users ADD COLUMN karma int DEFAULT 7");
        // A statement of that name fails once (the driver repeats it by itself only in autocommit); then it is prepared anew.
        String first = codeOf(() -> statement.executeQuery());
        return List.of(first, rows(statement.executeQuery()).get(0).size());
      }
    });
    check("LISTEN and NOTIFY", () -> {
      try (Connection listener = connect()) {
        listener.createStatement().execute("LISTEN news");
        query("SELECT pg_notify('news', 'hello')");
        PGNotification[] heard = listener.unwrap(PGConnection.class).getNotifications(30000);
        return Arrays.stream(heard).map(one -> one.getName() + " " + one.getParameter()).toList();
      }
    });
    check("cancel", () -> {
      try (Statement statement = connection.createStatement()) {
        var slow = CompletableFuture.supplyAsync(() -> codeOf(() -> statement.execute("SELECT pg_sleep(60)")));
        while (!slow.isDone()) { // again where it came before the statement ran
          statement.cancel();
          Thread.sleep(500);
        }
        String cancelled = slow.get();
        statement.setQueryTimeout(1);
        return List.of(cancelled, codeOf(() -> statement.execute("SELECT pg_sleep(60)")), query("SELECT 1"));
      }
    });
  }
}
